"""Predictors of one device that give a distribution of each cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, overload

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.typing import Arch, FloatArray
from hwnas_predictors.bayesian_linear import NormalMixture
from hwnas_predictors.device_predictor import DevicePredictor
from hwnas_predictors.power_transform import inverse


class DistributionPredictor(DevicePredictor[Arch]):
    """Turns mixtures of normals of transformed costs into costs, deviations and intervals."""

    _centre: float = float("nan")
    """Mean cost, which the transform is of ratios to."""

    @property
    @abstractmethod
    def _used_power(self) -> float:
        """Power of the transform of what `_mixture` gives."""

    @abstractmethod
    def _mixture(self, archs: Sequence[Arch]) -> NormalMixture:
        """Give the distribution of the transformed ratios of `(n,)` architectures."""

    @overload
    def predict(self, archs: Sequence[Arch]) -> FloatArray: ...

    @overload
    def predict(
        self, archs: Sequence[Arch], return_std: Literal[True]
    ) -> tuple[FloatArray, FloatArray]: ...

    def predict(
        self, archs: Sequence[Arch], return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Give `(n,)` costs in `unit`, and `(n,)` standard deviations if wanted.

        Raises:
            InvalidValueError: the predictor knows a pool but was not adapted to a device.
        """
        found = self._mixture(archs)
        costs = self._inverse(found.mean)
        if not return_std:
            return costs
        # To first order, from the slope of the transform.
        slope = self._centre * (costs / self._centre) ** (1 - self._used_power)
        return costs, found.std * slope

    def predict_std(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` standard deviations of one measurement in `unit`, its noise included."""
        return self.predict(archs, return_std=True)[1]

    def predict_interval(self, archs: Sequence[Arch], level: float = 0.9) -> FloatArray:
        """Give `(n, 2)` bounds in `unit` that a measurement keeps with this probability."""
        if not 0 < level < 1:
            raise InvalidValueError(f"`level` must be between 0 and 1, e.g. 0.9, but got {level}.")
        found = self._mixture(archs)
        tail = (1 - level) / 2
        bounds = [self._inverse(found.quantile(p)) for p in (tail, 1 - tail)]
        return np.stack(bounds, axis=1)

    def _inverse(self, targets: FloatArray) -> FloatArray:
        return self._centre * inverse(targets, self._used_power)
