"""Dominance and the quality of fronts; every argument called losses is minimised.

Non-domination, hypervolume and the inverted generational distances are computed by moocore, whose
answers for missing values and empty sets are replaced by the ones stated here.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.typing import Direction, FloatArray

BoolArray = npt.NDArray[np.bool_]

REFERENCE = 1.01
"""Reference point of the hypervolume, in each loss scaled to [0, 1]."""
TIGHT_PERCENTILE = 75.0
"""The tight hypervolume's reference is this percentile of each loss over the population."""


@dataclass(frozen=True)
class FrontQuality:
    """How close a found set comes to the true front of a population.

    Attributes:
        hypervolume: share of the true front's hypervolume, reference 1.01; 1 is best.
        tight_hypervolume: the same with the 75th percentile of each loss as reference, which
            separates methods that all come near the front; NaN where the true front has none.
        igd: mean distance from the true front to the nearest found point, in losses scaled to
            [0, 1] over the population; 0 is best, infinite where nothing was found.
        recall: share of the true front's distinct points that were found; 1 is best.
    """

    hypervolume: float
    tight_hypervolume: float
    igd: float
    recall: float


def to_losses(values: npt.ArrayLike, directions: Sequence[Direction]) -> FloatArray:
    """Flip the sign of the maximised columns of `(n, m)` values.

    Example:
        >>> to_losses([[0.9, 2.0]], ["maximize", "minimize"]).tolist()
        [[-0.9, 2.0]]
    """
    table = _table(values, "values", len(directions))
    signs: FloatArray = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
    return table * signs


def is_non_dominated(losses: npt.ArrayLike) -> BoolArray:
    """Tell which rows no other row dominates.

    A row dominates another if it is nowhere worse and somewhere better, so equal rows do not
    dominate one another. A row with a NaN neither dominates nor is non-dominated.

    Args:
        losses: `(n, m)` losses.

    Returns:
        `(n,)` flags; empty for no rows.

    Example:
        >>> is_non_dominated([[1, 3], [2, 2], [2, 3], [3, 1]]).tolist()
        [True, True, False, True]
    """
    table = _table(losses, "losses")
    complete = ~np.isnan(table).any(axis=1)
    flags = np.zeros(len(table), dtype=np.bool_)
    if complete.any():
        # Ranks dominate one another as the losses do, and moocore errs on infinite losses.
        ranks = [np.unique(column, return_inverse=True)[1] for column in table[complete].T]
        flags[complete] = moocore.is_nondominated(np.column_stack(ranks), keep_weakly=True)
    return flags


def hypervolume(losses: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Measure the volume that the rows dominate up to the reference point.

    Args:
        losses: `(n, m)` losses; rows with a NaN or an infinity and rows that are not better than
            the reference in every loss add nothing.
        reference: `(m,)` finite losses.

    Returns:
        The volume in the product of the losses' units, larger is better; 0 for no rows.

    Raises:
        InvalidValueError: the reference is not finite or its length is not m.

    Example:
        Rectangles of 2 x 1 and 1 x 2 up to the reference that share 1 x 1.

        >>> hypervolume([[1, 2], [2, 1]], reference=[3, 3])
        3.0
    """
    point = np.asarray(reference, dtype=np.float64)
    table = _finite(losses, point.size)
    if point.ndim != 1 or not np.isfinite(point).all():
        raise InvalidValueError(f"`reference` must be m finite losses, but got {point.tolist()}.")
    return float(moocore.hypervolume(table, ref=point)) if len(table) else 0.0


def igd(losses: npt.ArrayLike, front: npt.ArrayLike) -> float:
    """Give the inverted generational distance.

    Mean Euclidean distance from each row of the front to its nearest row of `losses`. Scale both
    first (`normalise`), or the loss with the largest numbers decides.

    Args:
        losses: `(n, m)` losses; rows with a NaN or an infinity are left out.
        front: `(k, m)` losses to be reached, k >= 1.

    Returns:
        The distance, smaller is better; infinite for no rows.

    Raises:
        InvalidValueError: the front is empty or not finite, or the widths differ.

    Example:
        Distances 0 and 5 (of a triangle with the sides 3, 4 and 5) from the front's two rows.

        >>> igd([[0, 4]], front=[[0, 4], [3, 0]])
        2.5
    """
    table, target = _distance_arguments(losses, front)
    return float(moocore.igd(table, ref=target)) if len(table) else float("inf")


def igd_plus(losses: npt.ArrayLike, front: npt.ArrayLike) -> float:
    """Give IGD+: as `igd`, but only losses worse than the front's count as distance.

    Unlike IGD it never prefers a set that another one dominates (Ishibuchi et al., Modified
    Distance Calculation in Generational Distance and Inverted Generational Distance, EMO 2015).

    Example:
        Better by 3 in one loss counts nothing, worse by 4 in the other does.

        >>> igd_plus([[0, 4]], front=[[0, 4], [3, 0]])
        2.0
    """
    table, target = _distance_arguments(losses, front)
    return float(moocore.igd_plus(table, ref=target)) if len(table) else float("inf")


def recall(found: Iterable[Hashable], front: Collection[Hashable]) -> float:
    """Give the share of the front's distinct members, e.g. canonical keys, that were found.

    Raises:
        InvalidValueError: the front is empty.

    Example:
        >>> recall(["a", "c", "c"], front=["a", "b"])
        0.5
    """
    wanted = set(front)
    if not wanted:
        raise InvalidValueError("`front` must not be empty: its recall is not defined.")
    return len(wanted.intersection(found)) / len(wanted)


def normalise(losses: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
    """Map `low` to 0 and `high` to 1 in each of the m losses, which may lie outside of both.

    A loss with `low == high` keeps its unit and only has `low` taken off. NaN stays NaN.

    Raises:
        InvalidValueError: some `high` is below its `low`.

    Example:
        >>> normalise([[2.0, 5.0]], low=[1.0, 5.0], high=[3.0, 9.0]).tolist()
        [[0.5, 0.0]]
    """
    bottom = np.asarray(low, dtype=np.float64)
    span = np.asarray(high, dtype=np.float64) - bottom
    if (span < 0).any():
        raise InvalidValueError("`high` must not be below `low`, but it is: swap them.")
    table = _table(losses, "losses", bottom.size)
    return np.asarray((table - bottom) / np.where(span == 0, 1.0, span), dtype=np.float64)


def front_quality(found: npt.ArrayLike, population: npt.ArrayLike) -> FrontQuality:
    """Rate a found set against the true front of a population whose losses are all known.

    Both are scaled to [0, 1] by the minimum and maximum of each loss over the population.

    Args:
        found: `(k, m)` true losses of the found architectures. They may contain dominated rows;
            rows with a NaN or an infinity are left out. Rows are matched with the true front by
            their values, so architectures with the same losses count as one: use `recall` with
            canonical keys where that matters.
        population: `(n, m)` losses of all architectures; rows with a NaN or an infinity are left
            out.

    Returns:
        The quality; see `FrontQuality` for each number's direction.

    Raises:
        InvalidValueError: the population is empty or the widths differ.

    Example:
        >>> front_quality([[0, 1]], [[0, 1], [1, 0], [1, 1]]).recall
        0.5
    """
    everything = _finite(population)
    if not len(everything):
        raise InvalidValueError("`population` must have a row of finite losses, but it has none.")
    low, high = everything.min(axis=0), everything.max(axis=0)  # (m,) each
    scaled = normalise(everything, low, high)  # (n, m) in [0, 1]
    front = scaled[is_non_dominated(scaled)]  # (f, m)
    points = normalise(_finite(found, everything.shape[1]), low, high)  # (k, m)

    def share(reference: FloatArray) -> float:
        best = hypervolume(front, reference)
        return hypervolume(points, reference) / best if best > 0 else float("nan")

    return FrontQuality(
        hypervolume=share(np.full(len(low), REFERENCE)),
        tight_hypervolume=share(np.percentile(scaled, TIGHT_PERCENTILE, axis=0)),
        igd=igd(points, front),
        recall=recall(map(tuple, points.tolist()), set(map(tuple, front.tolist()))),
    )


def _table(values: npt.ArrayLike, name: str, width: int | None = None) -> FloatArray:
    """Check for a `(n, m)` table; no rows at all take the expected width."""
    table = np.asarray(values, dtype=np.float64)
    if table.size == 0 and table.ndim < 2:
        table = table.reshape(0, width or 1)
    if table.ndim != 2 or (width is not None and table.shape[1] != width):
        wanted = "m" if width is None else width
        raise InvalidValueError(f"`{name}` must have shape (n, {wanted}), but got {table.shape}.")
    return table


def _finite(losses: npt.ArrayLike, width: int | None = None) -> FloatArray:
    table = _table(losses, "losses", width)
    return table[np.isfinite(table).all(axis=1)]


def _distance_arguments(
    losses: npt.ArrayLike, front: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    target = _table(front, "front")
    if not len(target) or not np.isfinite(target).all():
        raise InvalidValueError("`front` must have at least one row and only finite losses.")
    return _finite(losses, target.shape[1]), target
