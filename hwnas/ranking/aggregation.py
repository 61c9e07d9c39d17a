"""Joins several scores by rank: within a population, or against a fixed reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from hwnas.errors import InvalidValueError
from hwnas.typing import Direction, FloatArray


def rank_sum(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    """Sum the ranks of several scores within a population.

    Args:
        values: (n, p) scores; ties share their average rank; NaN ranks worst, with -inf.
        directions: (p,) which values are better.

    Returns:
        (n,) sums of ranks, 1 for the worst and n for the best of a score. Larger is better.
    """
    return np.asarray(_ranks(values, directions).sum(axis=1), dtype=np.float64)


def log_rank(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    """Join several scores within a population so that a bad rank in one is not made up for.

    ``sum_k log(rank_k / n)`` (Lee and Ham, AZ-NAS, CVPR 2024; as a product of ranks Týbl and
    Neumann, VKDNW, CVPR 2025, Eq. 15). It depends on the population: a value says nothing alone.

    Args:
        values: (n, p) scores; ties share their average rank; NaN ranks worst, with -inf.
        directions: (p,) which values are better.

    Returns:
        (n,) numbers <= 0; 0 is best in every score. Larger is better.
    """
    ranks = _ranks(values, directions)
    return np.asarray(np.log(ranks / max(len(ranks), 1)).sum(axis=1), dtype=np.float64)


@dataclass
class ReferenceRanking:
    """Joins several scores by their ranks in a fixed reference sample.

    ``sum_k log((worse_k + ties_k / 2 + 1/2) / (n + 1))``, where worse_k and ties_k count the
    reference scores that are worse than and equal to the k-th score. Unlike `log_rank` a value does
    not change when others are added, so that it can be an objective. Larger is better.

    Attributes:
        directions: (p,) which values are better.
    """

    directions: Sequence[Direction]
    _reference: FloatArray | None = field(default=None, init=False, repr=False)

    def fit(self, reference: npt.ArrayLike) -> ReferenceRanking:
        """Take the (n, p) scores of the reference sample; NaN is the worst value there."""
        oriented = _oriented(reference, self.directions)
        if not len(oriented):
            raise InvalidValueError("`reference` must have at least 1 row, but got 0.")
        self._reference = np.sort(oriented, axis=0)
        return self

    def score(self, values: npt.ArrayLike) -> FloatArray:
        """Rank (m, p) scores in the reference; NaN counts as worst, together with -inf.

        Returns:
            (m,) numbers < 0.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if self._reference is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("`fit` must be called before `score`: give it reference scores.")
        n = len(self._reference)
        oriented = _oriented(values, self.directions)
        total = np.zeros(len(oriented))
        for column, reference in zip(oriented.T, self._reference.T, strict=True):
            worse = np.searchsorted(reference, column, side="left")
            ties = np.searchsorted(reference, column, side="right") - worse
            total += np.log((worse + ties / 2 + 0.5) / (n + 1))
        return total


def _ranks(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    return np.asarray(rankdata(_oriented(values, directions), axis=0), dtype=np.float64)


def _oriented(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    """Turn (n, p) scores so that larger is better and NaN is -inf."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(directions):
        raise InvalidValueError(
            f"`values` must have shape (n, {len(directions)}), one column a direction, but got "
            f"{array.shape}."
        )
    for direction in directions:
        if direction not in ("minimize", "maximize"):
            raise InvalidValueError(
                f"`directions` must hold 'minimize' or 'maximize', but got {direction!r}."
            )
    signs = np.array([1.0 if direction == "maximize" else -1.0 for direction in directions])
    oriented: FloatArray = array * signs
    oriented[np.isnan(oriented)] = -np.inf
    return oriented
