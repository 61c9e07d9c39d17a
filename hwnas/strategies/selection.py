"""Who is better in a population: Pareto ranks and crowding distances of losses."""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

from hwnas.typing import FloatArray

IntArray = npt.NDArray[np.intp]


def pareto_ranks(losses: FloatArray) -> IntArray:
    """Give the layer of each row, 0 for the front, 1 for the front of the rest, and so on.

    Args:
        losses: `(n, m)` finite losses; equal rows share a layer.

    Returns:
        `(n,)` layers.

    Example:
        >>> pareto_ranks(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0]]))
        array([0, 0, 1])
    """
    if not len(losses):
        return np.zeros(0, dtype=np.intp)
    return np.asarray(moocore.pareto_rank(losses), dtype=np.intp)


def crowding_distances(losses: FloatArray, layers: IntArray) -> FloatArray:
    """Give the crowding distance of each row within its layer; larger is lonelier.

    Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, 2002, Sec. III-B:
    the sum over losses of the gap between both neighbours, each loss scaled to [0, 1] in the
    layer. The best and the worst of each loss are infinitely far.

    Args:
        losses: `(n, m)` finite losses.
        layers: `(n,)` layers of `pareto_ranks`.

    Returns:
        `(n,)` distances.

    Example:
        >>> losses = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
        >>> crowding_distances(losses, pareto_ranks(losses))
        array([inf,  2., inf])
    """
    distances = np.zeros(len(losses))
    for layer in np.unique(layers):
        members = np.flatnonzero(layers == layer)
        for column in losses[members].T:
            order = np.argsort(column, kind="stable")
            ordered = column[order]
            gaps = np.full(len(members), np.inf)
            gaps[1:-1] = (ordered[2:] - ordered[:-2]) / max(
                ordered[-1] - ordered[0], np.finfo(float).tiny
            )
            distances[members[order]] += gaps
    return distances


def best_first(losses: FloatArray) -> IntArray:
    """Order rows by Pareto layer, the loneliest of a layer first, older ones first in a tie.

    Args:
        losses: `(n, m)` finite losses.

    Returns:
        `(n,)` numbers of rows.

    Example:
        >>> best_first(np.array([[3.0, 3.0], [0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]))
        array([1, 3, 2, 0])
    """
    layers = pareto_ranks(losses)
    return np.lexsort((-crowding_distances(losses, layers), layers))
