"""Which sequences of operations lead from the input of a graph to its output, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.graphs.arch_graph import ArchGraph

FloatArray = npt.NDArray[np.float64]

MOST_PATHS = 64
"""Paths of a graph up to which they are listed; beyond, their number grows too fast to be."""
_SELDOM = 200

Route = tuple[str, ...]


def path_counts(graphs: Sequence[ArchGraph]) -> FloatArray:
    """Count the paths of `n` graphs by their operations.

    A column is a sequence of operations in order, or a set of them with their numbers whatever the
    order; sequences of seldom graphs, at most one of 200 or a single one, and those that all graphs
    have alike have none.

    Args:
        graphs: `(n,)` graphs.

    Returns:
        `(n, p)` logarithms of 1 + number of paths, centred and divided by the mean of the columns'
        standard deviations, so that what is common counts more; p = 0 where a graph has more than
        `MOST_PATHS` paths, or no sequence is shared.

    Example:
        >>> two, one = (ArchGraph(("input", "conv", "output"), np.triu(np.full((3, 3), k), 1))
        ...     for k in (2, 1))
        >>> path_counts([one, two, one, two]).shape  # the direct and the other, in order and sorted
        (4, 4)
    """
    return PathColumns.of(graphs)(graphs)


@dataclass(frozen=True)
class PathColumns:
    """The columns of `path_counts` by some graphs, for any others.

    Attributes:
        routes: `(p,)` sequences of operations, or sets of them behind an empty name.
        centre: `(p,)` means of their columns.
        scale: mean of the columns' standard deviations.
    """

    routes: tuple[Route, ...]
    centre: FloatArray
    scale: float

    @classmethod
    def of(cls, graphs: Sequence[ArchGraph]) -> PathColumns:
        """Take the columns that `path_counts` of these graphs has; none of no graphs."""
        tables = [_paths(graph) for graph in graphs]
        nothing = cls((), np.zeros(0), 1.0)
        if not tables or any(table is None for table in tables):
            return nothing
        seen = Counter(route for table in tables for route in table or ())
        least = max(2, len(graphs) // _SELDOM)
        routes = [route for route, n in seen.items() if n >= least]
        logs = _logs(tables, routes)
        varied = np.ptp(logs, axis=0) > 0
        if not varied.any():
            return nothing
        kept = tuple(route for route, flag in zip(routes, varied, strict=True) if flag)
        logs = logs[:, varied]
        return cls(kept, logs.mean(axis=0), float(logs.std(axis=0).mean()))

    def __call__(self, graphs: Sequence[ArchGraph]) -> FloatArray:
        """Give the `(n, p)` columns; a graph of too many paths has the mean in each."""
        tables = [_paths(graph) for graph in graphs]
        found = (_logs(tables, self.routes) - self.centre) / self.scale
        found[[table is None for table in tables]] = 0.0
        return found


def _logs(tables: Sequence[Counter[Route] | None], routes: Sequence[Route]) -> FloatArray:
    counts = [[0 if table is None else table[route] for route in routes] for table in tables]
    return np.log1p(np.array(counts, dtype=np.float64).reshape(len(tables), len(routes)))


def routes_of(graph: ArchGraph) -> Counter[Route] | None:
    """Count the paths of a graph in order; None for more than `MOST_PATHS`."""
    ends: list[Counter[Route]] = [Counter() for _ in range(len(graph))]
    ends[0][()] = 1
    for node in range(1, len(graph)):
        own = () if node == len(graph) - 1 else (graph.operations[node],)
        for source in graph.adjacency[:, node].nonzero()[0].tolist():
            for route, n in ends[source].items():
                ends[node][(*route, *own)] += n * int(graph.adjacency[source, node])
        if ends[node].total() > MOST_PATHS:
            return None
    return ends[-1]


def _paths(graph: ArchGraph) -> Counter[Route] | None:
    """Count the paths in order and, marked by an empty name, sorted; None for too many."""
    if (routes := routes_of(graph)) is None:
        return None
    found = Counter(routes)
    for route, n in routes.items():
        found[("", *sorted(route))] += n
    return found
