"""Joins several scores by rank: within a population, or against a fixed reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.ranking.ranks import average_ranks
from hwnas.typing import Direction, FloatArray

Method = Literal["log", "sum", "vote"]
"""``log``: sum of logarithms of ranks; ``sum``: sum of ranks; ``vote``: majorities won."""

_CHUNK = 2**18


def rank_sum(
    values: npt.ArrayLike,
    directions: Sequence[Direction],
    weights: Sequence[float] | None = None,
) -> FloatArray:
    """Sum the ranks of several scores within a population.

    Args:
        values: (n, p) scores; ties share their average rank; NaN ranks worst, with -inf.
        directions: (p,) which values are better.
        weights: (p,) factors of the ranks; None for 1 each.

    Returns:
        (n,) sums of ranks, 1 for the worst and n for the best of a score. Larger is better.

    Example:
        >>> rank_sum([[0.1, 9.0], [0.3, 7.0], [0.2, 8.0]], ["maximize", "minimize"]).tolist()
        [2.0, 6.0, 4.0]
    """
    return _ranks(values, directions) @ _weights(weights, len(directions))


def log_rank(
    values: npt.ArrayLike,
    directions: Sequence[Direction],
    weights: Sequence[float] | None = None,
) -> FloatArray:
    """Join several scores within a population so that a bad rank in one is not made up for.

    ``sum_k w_k log(rank_k / n)`` (Lee and Ham, AZ-NAS, CVPR 2024; as a product of ranks Týbl and
    Neumann, VKDNW, CVPR 2025, Eq. 15; both with all weights 1). It depends on the population: a
    value says nothing alone.

    Args:
        values: (n, p) scores; ties share their average rank; NaN ranks worst, with -inf.
        directions: (p,) which values are better.
        weights: (p,) factors of the logarithms; None for 1 each.

    Returns:
        (n,) numbers <= 0; 0 is best in every score. Larger is better.

    Example:
        Ranks (1, 2) and (2, 1) of two: log(1/2) + log(2/2) each.

        >>> log_rank([[0.1, 7.0], [0.3, 9.0]], ["maximize", "minimize"]).round(4).tolist()
        [-0.6931, -0.6931]
    """
    ranks = _ranks(values, directions)  # (n, p)
    # (n, p) @ (p,): sum_k w_k log(rank_k / n)
    return np.log(ranks / max(len(ranks), 1)) @ _weights(weights, len(directions))


def vote(
    values: npt.ArrayLike,
    directions: Sequence[Direction],
    weights: Sequence[float] | None = None,
) -> FloatArray:
    """Let several scores vote on each pair of a population.

    The mean over all members of +1 where the majority of the scores prefers the row to the member,
    -1 where it prefers the member, 0 for a draw ("vote" of Abdelfattah et al., Zero-Cost Proxies
    for Lightweight NAS, ICLR 2021, who compare two architectures; counting the duels won
    makes a ranking of it).

    Args:
        values: (n, p) scores; NaN ranks worst, with -inf.
        directions: (p,) which values are better.
        weights: (p,) votes of each score; None for 1 each.

    Returns:
        (n,) numbers in [-1, 1]. Larger is better. Work grows with n squared.

    Example:
        The first wins both duels, the others one and none; a draw with itself counts 0.

        >>> vote([[3.0], [2.0], [1.0]], ["maximize"]).round(4).tolist()
        [0.6667, 0.0, -0.6667]
    """
    oriented = _oriented(values, directions)
    return _duels(oriented, oriented, _weights(weights, len(directions)))


def normal_scores(values: npt.ArrayLike, among: npt.ArrayLike | None = None) -> FloatArray:
    """Replace `(n,)` values by the normal quantiles of their ranks; ties share one, NaN stays.

    A model of them sees no scale, so that neither a few hopeless architectures nor a crowd of
    nearly equal ones decides what it learns.

    Args:
        values: `(n,)` numbers.
        among: `(m,)` numbers that the ranks are taken in; None for `values` themselves. What is
            beyond all of them has the rank of the outermost one.

    Example:
        The quantiles of 1/4 and 3/4.

        >>> normal_scores([100.0, 1.0]).round(4).tolist()
        [0.6745, -0.6745]
    """
    from scipy.special import ndtri

    numbers = np.asarray(values, dtype=np.float64)
    known = np.sort(numbers if among is None else np.asarray(among, dtype=np.float64))
    known = known[~np.isnan(known)]
    n = max(len(known), 1)
    # Half the number of the smaller and of the not larger ones: the rank less 1/2.
    below = (np.searchsorted(known, numbers) + np.searchsorted(known, numbers, side="right")) / 2
    # Φ⁻¹((rank - 1/2) / n)
    found = np.asarray(ndtri(np.clip(below, 0.5, n - 0.5) / n), dtype=np.float64)
    return np.where(np.isnan(numbers), np.nan, found)


def normal_places(values: npt.ArrayLike, known: npt.ArrayLike) -> FloatArray:
    """Give `(m,)` values the normal scores of `(n,)` known ones, and what is between in between.

    Unlike ranks it is continuous: what differs by rounding has nearly the same score.

    Example:
        >>> normal_places([1.0, 2.0], [1.0, 3.0]).round(4).tolist()
        [-0.6745, 0.0]
    """
    there, places = np.unique(np.asarray(known, dtype=np.float64), return_index=True)
    scores = normal_scores(known)[places]
    return np.interp(np.asarray(values, dtype=np.float64), there, scores)


@dataclass
class ReferenceRanking:
    """Joins several scores by their ranks in a fixed reference sample.

    The rank of a score is ``u_k = (worse_k + ties_k / 2 + 1/2) / (n + 1)``, where worse_k and
    ties_k count the reference scores that are worse than and equal to it. The value is
    ``sum_k w_k log(u_k)``, ``sum_k w_k u_k``, or the mean result of the votes on the row against
    each reference member. Unlike `log_rank`, `rank_sum` and `vote` it does not change when others
    are added, so that it can be an objective. Larger is better.

    Attributes:
        directions: (p,) which values are better.
        method: how the ranks are joined.
        weights: (p,) weights of the scores; None for 1 each.

    Example:
        Better than both of two: u = (2 + 1/2) / 3.

        >>> ranking = ReferenceRanking(["maximize"], "sum").fit([[1.0], [2.0]])
        >>> ranking.score([[3.0]]).round(4).tolist()
        [0.8333]
    """

    directions: Sequence[Direction]
    method: Method = "log"
    weights: Sequence[float] | None = None
    _reference: FloatArray | None = field(default=None, init=False, repr=False)

    def fit(self, reference: npt.ArrayLike) -> ReferenceRanking:
        """Take the (n, p) scores of the reference sample; NaN is the worst value there."""
        oriented = _oriented(reference, self.directions)
        if not len(oriented):
            raise InvalidValueError("`reference` must have at least 1 row, but got 0.")
        self._reference = oriented
        return self

    def score(self, values: npt.ArrayLike) -> FloatArray:
        """Rank (m, p) scores in the reference; NaN counts as worst, together with -inf.

        Returns:
            (m,) numbers, below 0 for ``log``.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if self._reference is None:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("`fit` must be called before `score`: give it reference scores.")
        oriented = _oriented(values, self.directions)
        weights = _weights(self.weights, len(self.directions))
        if self.method == "vote":
            return _duels(oriented, self._reference, weights)
        ranks = np.column_stack(
            [
                _rank_among(column, known)
                for column, known in zip(oriented.T, self._reference.T, strict=True)
            ]
        )
        return (np.log(ranks) if self.method == "log" else ranks) @ weights


def _rank_among(column: FloatArray, known: FloatArray) -> FloatArray:
    """Give the ranks in (0, 1) of (m,) scores among (n,) known ones."""
    order = np.sort(known)
    worse = np.searchsorted(order, column, side="left")  # (m,)
    ties = np.searchsorted(order, column, side="right") - worse  # (m,)
    # u = (worse + ties / 2 + 1/2) / (n + 1)
    return np.asarray((worse + ties / 2 + 0.5) / (len(order) + 1), dtype=np.float64)


def _duels(rows: FloatArray, members: FloatArray, weights: FloatArray) -> FloatArray:
    """Give the mean outcome, in [-1, 1], of the votes on each of (m, p) rows against (n, p)."""
    results = np.zeros(len(rows))
    size = max(1, _CHUNK // max(len(members), 1))
    equal = bool((weights == 1).all()) and len(weights) < 128  # then bytes hold the margins
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        margin = np.zeros((len(part), len(members)), dtype=np.int8 if equal else np.float64)
        for mine, theirs, weight in zip(part.T, members.T, weights, strict=True):
            better = (mine[:, None] > theirs).view(np.int8)
            sign = better - (mine[:, None] < theirs).view(np.int8)
            margin += sign if equal else weight * sign
        won, lost = ((margin > 0).sum(axis=1), (margin < 0).sum(axis=1))
        results[start : start + size] = (won - lost) / max(len(members), 1)
    return results


def _weights(weights: Sequence[float] | None, p: int) -> FloatArray:
    array = np.ones(p) if weights is None else np.asarray(weights, dtype=np.float64)
    if array.shape != (p,) or not np.all(array > 0) or not np.isfinite(array).all():
        raise InvalidValueError(
            f"`weights` must be {p} positive numbers, one a score, but got {weights}."
        )
    return array


def _ranks(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    oriented = _oriented(values, directions)
    return np.stack([average_ranks(column) for column in oriented.T], axis=1)


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
