"""The transform of Box and Cox (1964), which makes the noise of costs more even."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from hwnas.typing import DeadOperations, FloatArray

Powers = Mapping[DeadOperations, float]
"""Exponent of the transform by what a device did with dead operations."""

_LOWEST = 1e-3


def transform(ratios: FloatArray, power: float) -> FloatArray:
    """Transform positive ratios so that 1 becomes 0 with slope 1; power 0 takes logarithms.

    Example:
        >>> transform(np.array([1.0, 3.0]), 2.0)
        array([0., 4.])
    """
    found: FloatArray = np.log(ratios) if power == 0 else (ratios**power - 1) / power
    return found


def inverse(targets: FloatArray, power: float) -> FloatArray:
    """Give ratios; a target below every ratio gives a small positive one.

    Example:
        >>> inverse(np.array([0.0, 4.0]), 2.0)
        array([1., 3.])
    """
    if power == 0:
        found: FloatArray = np.exp(targets)
        return found
    base: FloatArray = np.maximum(power * targets + 1, _LOWEST)
    return base ** (1 / power)


def pool_targets(costs: FloatArray, powers: Sequence[float]) -> FloatArray:
    """Transform the `(d, n)` costs of devices over their means, NaN where there is no value.

    Example:
        >>> pool_targets(np.array([[1.0, 3.0], [5.0, np.nan]]), [1.0, 2.0])
        array([[-0.5,  0.5],
               [ 0. ,  nan]])
    """
    rows = zip(costs, powers, strict=True)
    return np.stack([transform(row / np.nanmean(row), power) for row, power in rows])


@dataclass(frozen=True)
class Targets:
    """Transformed costs of a device, by what it may have done with dead operations.

    Attributes:
        by_view: `(s,)` targets by view.
        log_slopes: logarithm of the transform's slope at the costs, summed over them; 0 if absent.
            Densities of targets times these slopes are densities of costs, which are comparable
            where the powers differ (Box and Cox, 1964, section 3).
    """

    by_view: Mapping[DeadOperations, FloatArray]
    log_slopes: Mapping[DeadOperations, float] = field(default_factory=dict)

    @classmethod
    def of(cls, ratios: FloatArray, powers: Powers) -> Self:
        """Transform `(s,)` positive ratios by the power of each view.

        Example:
            >>> Targets.of(np.array([1.0, 4.0]), {"executed": 0.5, "pruned": 1.0}).by_view
            {'executed': array([0., 2.]), 'pruned': array([0., 3.])}
        """
        logs = float(np.sum(np.log(ratios)))
        return cls(
            {view: transform(ratios, power) for view, power in powers.items()},
            {view: (power - 1) * logs for view, power in powers.items()},  # d/dr (r^p - 1)/p
        )

    def __len__(self) -> int:
        return len(next(iter(self.by_view.values())))

    def without(self, view: DeadOperations, rows: npt.ArrayLike) -> FloatArray:
        """Give the targets of a view but some."""
        return np.delete(self.by_view[view], np.asarray(rows, dtype=np.intp))

    def log_slope(self, view: DeadOperations) -> float:
        """Give the summed logarithm of the slopes of a view."""
        return self.log_slopes.get(view, 0.0)


def reexpressed(
    means: FloatArray, stds: FloatArray, power: float, other: float
) -> tuple[FloatArray, FloatArray]:
    """Give means and deviations of targets of one power as those of another, to first order.

    Example:
        >>> reexpressed(np.array([3.0]), np.array([0.4]), 1.0, 0.5)
        (array([2.]), array([0.2]))
    """
    ratios = inverse(means, power)
    return transform(ratios, other), stds * ratios ** (other - power)
