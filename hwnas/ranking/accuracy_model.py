"""Accuracies of a pool of architectures from those of a few: a distribution for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import normal_scores
from hwnas.ranking.ensemble import ensemble
from hwnas.ranking.label_mixture import LabelMixture
from hwnas.ranking.label_process import Points
from hwnas.typing import FloatArray

LEAST_LABELS = 2
TREES_FROM = 50
"""Labels from which on the trees weigh a quarter; with far more they weigh half, with ten .02."""
_NODES = 16


@dataclass(frozen=True)
class AccuracyScale:
    """The accuracy in percent of a normal score: what the labels have there.

    Between two labels it is a straight line, beyond the last one it goes on with the mean slope of
    the outer quarter of the labels, within 0 to 100.

    Attributes:
        scores: (k,) normal scores of the labels, ascending.
        accuracies: (k,) their accuracies.

    Example:
        >>> scale = AccuracyScale.of([60.0, 80.0, 70.0])
        >>> scale(np.array([0.0, -99.0])).tolist()
        [70.0, 0.0]
    """

    scores: FloatArray
    accuracies: FloatArray

    @classmethod
    def of(cls, accuracies: npt.ArrayLike) -> AccuracyScale:
        """Sort (k,) accuracies; equal ones share a score."""
        known = np.asarray(accuracies, dtype=np.float64)
        scores, places = np.unique(normal_scores(known), return_index=True)
        return cls(scores, known[places])

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Give accuracies of normal scores, of any shape."""
        found = np.interp(scores, self.scores, self.accuracies)
        for end, outside in ((0, scores < self.scores[0]), (-1, scores > self.scores[-1])):
            beyond = scores[outside] - self.scores[end]
            found[outside] = self.accuracies[end] + self._slope(end) * beyond
        return np.clip(found, 0.0, 100.0)

    def _slope(self, end: int) -> float:
        if len(self.scores) < 2:
            return 0.0
        reach = max(len(self.scores) // 4, 1)
        other = reach if end == 0 else -1 - reach
        run = self.scores[end] - self.scores[other]
        return float((self.accuracies[end] - self.accuracies[other]) / run)


@dataclass(frozen=True)
class Accuracies:
    """What is expected of each of `n` architectures when it is trained once.

    Attributes:
        means: (n,) means of their normal scores; larger is better.
        deviations: (n,) standard deviations, the noise of a training included.
        scale: accuracies of normal scores.
        labels: labelled architectures behind it.
    """

    means: FloatArray
    deviations: FloatArray
    scale: AccuracyScale
    labels: int

    def expected(self) -> FloatArray:
        """Give the (n,) mean accuracies in percent, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        at = self.means[:, None] + self.deviations[:, None] * nodes
        return np.asarray(self.scale(at) @ (weights / weights.sum()))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Give (n,) accuracies below and above which (1 - level) / 2 of the probability lies.

        The scale is that of the labels alone, so that the quantiles are those of Student's t with
        one degree of freedom less than there are labels.
        """
        reach = float(stdtrit(self.labels - 1, (1 + level) / 2)) * self.deviations
        return self.scale(self.means - reach), self.scale(self.means + reach)

    def chance_among_best(self, share: float = 0.01, of: npt.ArrayLike | None = None) -> FloatArray:
        """Give the (n,) probabilities to be among the best of a population.

        The bar is where as many architectures of the population are expected above it as belong
        there: ``mean_i P(z_i > bar) = share``.

        Args:
            share: part of the population that counts as the best.
            of: indices of the population, or flags; all if None. It should be drawn as the space's
                architectures are.
        """
        part = slice(None) if of is None else np.asarray(of)
        means, spreads = self.means[part], self.deviations[part]
        low, high = (means - 9 * spreads).min(), (means + 9 * spreads).max()
        for _ in range(60):
            bar = (low + high) / 2
            above = ndtr((means - bar) / spreads).mean() > share
            low, high = (bar, high) if above else (low, bar)
        return np.asarray(ndtr((self.means - bar) / self.deviations))


class AccuracyModel:
    """Learn from a few labels, beginning with scores known without them.

    Gaussian processes (`LabelMixture`) see the normal scores of the accuracies, so that a few
    hopeless networks do not decide everything. Their mean is moved towards that of the trees and
    the machine of `ensemble`, which err in other ways, by up to a half as labels grow; deviations
    are the processes'.

    Args:
        seed: seed of the trees.
    """

    _process: LabelMixture
    _trees: Any
    _scale: AccuracyScale
    _labels: int

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, points: Points, accuracies: npt.ArrayLike) -> AccuracyModel:
        """Learn from `(k,)` accuracies in percent.

        Args:
            points: what is known of the labelled architectures, inputs around 0.
            accuracies: their accuracies.

        Raises:
            InvalidValueError: there are fewer than two labels, or one is missing.
        """
        labels = np.asarray(accuracies, dtype=np.float64)
        k = len(points.scores)
        if len(labels) < LEAST_LABELS or labels.shape != (k,) or not np.isfinite(labels).all():
            raise InvalidValueError(
                f"`accuracies` must be at least {LEAST_LABELS} finite numbers, one for each of the "
                f"{k} labelled architectures, but got shape {labels.shape} with "
                f"{int((~np.isfinite(labels)).sum())} missing."
            )
        targets = normal_scores(labels)
        self._process = LabelMixture().fit(points, targets)
        # Where the labelled ones are all alike there is nothing to split.
        varied = bool(np.ptp(_table(points), axis=0).any())
        self._trees = ensemble(self._seed).fit(_table(points), targets) if varied else None
        self._scale, self._labels = AccuracyScale.of(labels), len(labels)
        return self

    def predict(self, points: Points) -> Accuracies:
        """Give what is expected of `(n,)` architectures."""
        means, deviations = self._process.predict(points)
        if self._trees is not None:
            weight = self._labels**2 / (2 * (self._labels**2 + TREES_FROM**2))
            means = means + weight * (self._trees.predict(_table(points)) - means)
        return Accuracies(means, deviations, self._scale, self._labels)


def best_last(score: FloatArray, among: FloatArray | None = None) -> FloatArray:
    """Give the normal scores of `(n,)` values, larger being better and NaN the worst.

    Example:
        >>> best_last(np.array([3.0, np.nan, 8.0])).round(3)
        array([ 0.   , -0.967,  0.967])
    """
    others = None if among is None else np.where(np.isnan(among), -np.inf, among)
    return normal_scores(np.where(np.isnan(score), -np.inf, score), others)


def _table(points: Points) -> FloatArray:
    """Give the `(n, f)` inputs side by side; a column more, of zeros, stands for none."""
    return np.column_stack([np.zeros(len(points.scores)), points.scores, *points.groups])
