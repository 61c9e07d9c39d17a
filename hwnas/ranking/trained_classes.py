"""What is known of a network's accuracy by trainings of it, and of equal networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from hwnas.typing import FloatArray

NEAREST = 200
"""Classes of similar accuracy whose trainings tell how much one differs from another."""


@dataclass(frozen=True, eq=False)
class TrainedClasses:
    """Classes of equal networks, each trained once or more.

    Two trainings of one class differ by noise alone, so that they tell how large it is: its
    variance is that within the `NEAREST` classes of similar accuracy that were trained twice or
    more.

    Attributes:
        means: `(c,)` mean accuracy of each class in percent, ascending.
        counts: `(c,)` trainings of each.
        noise: `(c,)` standard deviations of one training; NaN where no class was trained twice.
        rows: row of each class by its key.

    Example:
        >>> known = TrainedClasses.of({"a": [70.0, 72.0], "b": [80.0, 82.0], "c": [90.0]})
        >>> known.means.tolist()
        [71.0, 81.0, 90.0]
        >>> known.noise.round(3).tolist()
        [1.414, 1.414, 1.414]
    """

    means: FloatArray
    counts: FloatArray
    noise: FloatArray
    rows: Mapping[str, int]

    @classmethod
    def of(cls, trainings: Mapping[str, Sequence[float]]) -> TrainedClasses:
        """Take the accuracies of at least one class by its key."""
        several = [len(found) for found in trainings.values()]
        values = np.array([value for found in trainings.values() for value in found])
        first, counts = np.cumsum([0, *several[:-1]]), np.array(several, dtype=np.float64)
        means = np.add.reduceat(values, first) / counts
        squares = np.add.reduceat((values - np.repeat(means, several)) ** 2, first)
        order = np.argsort(means, kind="stable")
        means, counts, squares = means[order], counts[order], squares[order]
        keys = list(trainings)
        rows = {keys[found]: row for row, found in enumerate(order.tolist())}
        return cls(means, counts, _noise(squares, counts - 1), rows)

    def interval(self, key: str, level: float = 0.95) -> tuple[float, float]:
        """Give the accuracies below and above which (1 - level) / 2 of further trainings are."""
        row = self.rows[key]
        # A further training differs by its own noise and by that of the mean.
        spread = self.noise[row] * np.sqrt(1 + 1 / self.counts[row])
        reach = float(ndtri((1 + level) / 2) * spread)
        return float(self.means[row]) - reach, float(self.means[row]) + reach

    def chance_among_best(self, key: str, share: float = 0.01) -> float:
        """Give the probability that the class's true mean is among the best of all architectures.

        The bar is the accuracy that so many of the trainings exceed; NaN without known noise.
        """
        order = np.cumsum(self.counts[::-1]) >= share * self.counts.sum()
        bar = self.means[::-1][int(np.argmax(order))]
        row = self.rows[key]
        deviation = self.noise[row] / np.sqrt(self.counts[row])
        return float(ndtr((self.means[row] - bar) / deviation)) if deviation else float("nan")


def _noise(squares: FloatArray, freedom: FloatArray) -> FloatArray:
    """Pool `(c,)` sums of squares over the nearest classes that have a degree of freedom."""
    several = np.flatnonzero(freedom > 0)
    if not len(several):
        return np.full(len(squares), np.nan)
    width = min(NEAREST, len(several))
    place = np.searchsorted(several, np.arange(len(squares)))
    first = np.clip(place - width // 2, 0, len(several) - width)
    pooled = _sums(squares[several], first, width) / _sums(freedom[several], first, width)
    return np.asarray(np.sqrt(pooled))


def _sums(values: FloatArray, first: npt.NDArray[np.intp], width: int) -> FloatArray:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[first + width] - total[first])
