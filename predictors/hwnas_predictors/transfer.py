"""From a pool of devices and a few measurements to every architecture on a new device.

An empirical Bayes linear model: what devices have in common is learned once from a pool
(`device_prior`), a new device's weights follow in closed form from as few as five measured
architectures (`bayesian_linear`), and so does how sure the predictions are. Targets are costs over
their mean on the device, after a power transform (Box and Cox, 1964) that makes a device's noise
more even.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import Effort
from hwnas.files.predictor_file import PredictorFile
from hwnas.seeding import derive_seed
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.bayesian_linear import LogNormal, NormalMixture, Posterior, most_informative
from hwnas_predictors.device_predictor import (
    ANY_DEVICE,
    DevicePredictor,
    device_rows,
    known_costs,
)
from hwnas_predictors.device_prior import DevicePrior, learn_prior
from hwnas_predictors.encodings import join_columns
from hwnas_predictors.extra_columns import Scores
from hwnas_predictors.features import ArchFeatures

CANDIDATES = 1500
"""Architectures that a support set is chosen from, and as many that it is chosen for."""
_CANDIDATES_TO_BUILD = 150
"""As many where their networks must be built to be counted."""
_LOWEST = 1e-3


class TransferPredictor(DevicePredictor[Arch]):
    """Predicts a cost on a new device from few measurements and a pool of other devices.

    ``fit`` with `(d, n)` costs learns the pool, and ``adapt`` then gives the predictor of a
    further device. ``fit`` with `(n,)` costs learns a single device without a pool.

    Args:
        space: search space.
        metric: what is counted.
        unit: unit of the costs.
        direction: which costs are better.
        power: exponent of the transform; 1 leaves costs as they are, 0 takes logarithms.
        components: principal components of the pool.
        sample: architectures of a pool's device that the prior's scales are learned on.
        seed: seed of these samples and of `choose_support`.
        extra: counts and proxies that are features too, see `DevicePredictor`.
        dataset: data set of the networks of these features.
        scores: scores of proxies, see `DevicePredictor`.
        data: text that tells the pool's data, kept in files.
    """

    kind = "transfer"
    settings = ("power", "components", "sample", "seed")

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str = "latency",
        unit: str = "ms",
        direction: Direction = "minimize",
        *,
        power: float = 0.75,
        components: int = 6,
        sample: int = 150,
        seed: int = 0,
        extra: Sequence[str] = (),
        dataset: str = "cifar10",
        scores: Scores | None = None,
        data: str = "",
    ) -> None:
        super().__init__(
            space, metric, unit, direction, extra=extra, dataset=dataset, scores=scores, data=data
        )
        self.power, self.components = power, components
        self.sample, self.seed = sample, seed
        self._features: ArchFeatures | None = None
        self._prior: DevicePrior | None = None
        self._posterior: Posterior | None = None
        self._centre = float("nan")

    def fit(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> TransferPredictor[Arch]:
        """Learn a pool of devices, or a single device.

        Args:
            archs: `(n,)` measured architectures.
            costs: `(d, n)` positive costs in `unit`, NaN where there is no value; or `(n,)` costs
                of one device.

        Returns:
            The predictor itself.

        Raises:
            InvalidValueError: shapes do not match, or a device has fewer than two costs.
        """
        archs, rows, single = device_rows(archs, costs)
        targets = np.stack([_transform(row / np.nanmean(row), self.power) for row in rows])
        self._features = ArchFeatures(self.space)
        self._fit_extra(archs)
        blocks = self._blocks(archs)
        self._prior = learn_prior(blocks, targets, self.components, self.sample, self.seed)
        self._posterior, self.device = None, ANY_DEVICE
        if single:
            self._learn(archs, rows[0])
            self.device = DeviceKey("measured")
        return self

    def adapt(
        self, support: Sequence[Arch], costs: npt.ArrayLike, device: DeviceKey | None = None
    ) -> TransferPredictor[Arch]:
        """Give the predictor of a new device.

        Args:
            support: `(s,)` measured architectures, e.g. those of `choose_support`.
            costs: `(s,)` their positive costs in `unit`; NaN where a measurement failed.
            device: key of the device.

        Raises:
            InvalidValueError: nothing was fitted, fewer than two costs are given, or the device
                is called ``any``.
        """
        self._require_prior()
        values, _ = known_costs(costs, len(support))
        adapted = copy.copy(self)
        adapted.set_device(device or DeviceKey("new device"))
        adapted._learn(support, values)
        return adapted

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
        slope = self._centre * (costs / self._centre) ** (1 - self.power)
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

    def choose_support(
        self, n: int, seed: int | None = None, archs: Sequence[Arch] | None = None
    ) -> list[Arch]:
        """Choose the `n` architectures whose measurement says the most about all others.

        No measurement of the new device is needed, so the same ones serve every device.

        Args:
            n: architectures to measure.
            seed: seed of the candidates; that of the predictor if None.
            archs: architectures to choose from; drawn from the space if None.

        Raises:
            InvalidValueError: nothing was fitted, or there are fewer than `n` candidates.
        """
        _, prior = self._require_prior()
        chosen_seed = self.seed if seed is None else seed
        rng = np.random.default_rng(derive_seed(chosen_seed, repr(self.space), "support"))
        population = list(archs) if archs is not None else self._draw(rng)
        unscored = set(self.unscored(population))
        population = [arch for arch in population if arch not in unscored]
        most = CANDIDATES if self.effort is Effort.LOOKUP else max(_CANDIDATES_TO_BUILD, 2 * n)
        if len(population) > most:
            population = [population[i] for i in rng.choice(len(population), most, False)]
        candidates = [a for a in population if self.space.is_valid(a)]
        if not 1 <= n <= len(candidates):
            without = f" ({len(unscored)} more have no scores: give `archs`)" if unscored else ""
            raise InvalidValueError(
                f"`n` must be from 1 to {len(candidates)}, the candidates{without}, but got {n}."
            )
        scaled = prior.scale(self._blocks(population))
        valid = np.array([self.space.is_valid(a) for a in population])
        rows = most_informative(scaled[valid], scaled, n, float(np.exp(prior.noise.mean)))
        return [candidates[row] for row in rows]

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file: prior and posterior."""
        features, prior = self._require_prior()
        arrays = {
            "components": prior.components,
            "variances": prior.variances,
            "noise": np.array([prior.noise.mean, prior.noise.spread]),
            **{f"mean_{i}": mean for i, mean in enumerate(prior.means)},
        }
        if self._posterior is not None:
            arrays |= {f"posterior_{name}": v for name, v in vars(self._posterior).items()}
            arrays["centre"] = np.array(self._centre)
        return self._file(arrays, operations=list(features.operations))

    @classmethod
    def shipped(cls, space: SearchSpace[Any]) -> TransferPredictor[Any]:
        """Load the pool that comes with the package for a search space.

        Raises:
            DataNotFoundError: there is none for this space with these settings.
        """
        from hwnas_predictors.shipped import shipped_pool

        return cls.from_file(shipped_pool(space))

    @classmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        arrays, settings = file.arrays, dict(file.settings)
        operations = settings.pop("operations")
        made = cls._unfitted(file, **settings)
        made._features = ArchFeatures(made.space, operations)
        # The components have a variance and no mean.
        means = tuple(arrays[f"mean_{i}"] for i in range(len(arrays["variances"]) - 1))
        noise = LogNormal(*map(float, arrays["noise"]))
        if any(mean.ndim != 1 for mean in means) or arrays["components"].ndim != 2:
            raise ValueError("its means and components have other shapes")
        if arrays["variances"].ndim != 1 or not (arrays["variances"] >= 0).all():
            raise ValueError("its variances are none")
        made._prior = DevicePrior(means, arrays["components"], arrays["variances"], noise)
        start = "posterior_"
        parts = {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
        if parts or made.device != ANY_DEVICE:
            made._posterior = Posterior(**parts)
            made._posterior.check()
            made._centre = float(arrays["centre"])
        return made

    def _try(self, archs: Sequence[Arch]) -> FloatArray:
        """Give predictions, or the scaled features where there is no device yet."""
        _, prior = self._require_prior()
        return prior.scale(self._blocks(archs)) if self._posterior is None else super()._try(archs)

    def _require_prior(self) -> tuple[ArchFeatures, DevicePrior]:
        if self._features is None or self._prior is None:
            raise InvalidValueError("`fit` must be called first, or a fitted predictor loaded.")
        return self._features, self._prior

    def _blocks(self, archs: Sequence[Arch]) -> list[FloatArray]:
        """Give `(n, p_b)` features of each block, the extra columns before all together."""
        assert self._features is not None
        *parts, every = self._features.blocks(archs)
        if self._extra is None:
            return [*parts, every]
        extra = self._extra_columns(archs)
        return [*parts, extra, join_columns(every, extra)]

    def _learn(self, support: Sequence[Arch], costs: FloatArray) -> None:
        _, prior = self._require_prior()
        known = np.isfinite(costs)
        archs = [arch for arch, flag in zip(support, known, strict=True) if flag]
        self._centre = float(costs[known].mean())
        targets = _transform(costs[known] / self._centre, self.power)
        scaled = prior.scale(self._blocks(archs))
        self._posterior = Posterior.of(scaled, targets, prior.noise)

    def _mixture(self, archs: Sequence[Arch]) -> NormalMixture:
        _, prior = self._require_prior()
        if self._posterior is None:
            raise InvalidValueError(
                "`adapt` must be called with measurements of a device before `predict`."
            )
        return self._posterior.predict(prior.scale(self._blocks(archs)))

    def _inverse(self, targets: FloatArray) -> FloatArray:
        """Give costs; a target below every cost gives a small positive one."""
        if self.power == 0:
            return self._centre * np.exp(targets)
        base = np.maximum(self.power * targets + 1, _LOWEST)
        return self._centre * base ** (1 / self.power)

    def _draw(self, rng: np.random.Generator) -> list[Arch]:
        drawn = (self.space.sample(rng) for _ in range(CANDIDATES))
        return list(dict.fromkeys(drawn))

    def __repr__(self) -> str:
        """State every setting and the device."""
        settings = ", ".join(f"{k}={v!r}" for k, v in self.get_settings().items())
        return (
            f"TransferPredictor({self.space!r}, {self.metric!r}, {self.unit!r}, "
            f"device={self.device!r}, data={self.data!r}, {settings})"
        )


def _transform(ratios: FloatArray, power: float) -> FloatArray:
    """Transform positive ratios so that 1 becomes 0 with slope 1."""
    return np.log(ratios) if power == 0 else (ratios**power - 1) / power
