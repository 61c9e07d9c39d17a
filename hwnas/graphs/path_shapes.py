"""What the paths of a graph are like together: how many, how long, and what stands on them.

A shortcut beside three convolutions and the same shortcut alone share a column of
`hwnas.graphs.paths`, among hundreds; here the number of direct paths, the longest one, and how many
convolutions stand on the one that has most are columns of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.graphs.paths import FloatArray, Route, routes_of


@dataclass(frozen=True)
class PathShapes:
    """Columns of graphs by their paths, scaled by a sample.

    For each graph: the number of paths, of those of each length, the most, fewest and mean
    operations of a path, the operations altogether; and for each operation the most, fewest and
    mean on a path, and altogether. Logarithms of 1 + each, of mean 0 and variance 1 in the sample.

    Attributes:
        operations: `(o,)` names of the operations that are counted.
        longest: operations of the longest path that has a column.
        centre: `(f,)` means.
        spread: `(f,)` standard deviations; columns without any are left out.
    """

    operations: tuple[str, ...]
    longest: int
    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, graphs: Sequence[ArchGraph]) -> PathShapes:
        """Take the operations and lengths of graphs; no column of no graphs.

        Example:
            >>> chain = ArchGraph(("input", "conv", "output"), np.eye(3, k=1, dtype=np.int64))
            >>> direct = ArchGraph(("input", "output"), np.eye(2, k=1, dtype=np.int64))
            >>> PathShapes.of([chain, direct])([direct]).round(1).tolist()[0][:2]
            [1.0, -1.0]
        """
        names = {name for graph in graphs for name in graph.operations[1:-1]}
        routes = [found for graph in graphs if (found := routes_of(graph)) is not None]
        longest = max((len(route) for some in routes for route in some), default=0)
        shapes = cls(tuple(sorted(names)), longest, np.zeros(0), np.zeros(0))
        table = np.array([shapes._columns(graph) for graph in graphs])
        if not len(table):
            return shapes
        known = table[~np.isnan(table).any(axis=1)]
        if not len(known):
            return cls(shapes.operations, longest, *np.zeros((2, table.shape[1])))
        # Equal logarithms have a deviation of about 1e-16.
        spread = np.where(np.ptp(known, axis=0) > 0, known.std(axis=0), 0.0)
        return cls(shapes.operations, longest, known.mean(axis=0), spread)

    def __call__(self, graphs: Sequence[ArchGraph]) -> FloatArray:
        """Give the `(n, f)` columns; a graph of too many paths has the mean in each."""
        kept = self.spread > 0
        if not kept.any():
            return np.zeros((len(graphs), 0))
        table = np.array([self._columns(graph) for graph in graphs]).reshape(-1, len(kept))
        return np.nan_to_num((table[:, kept] - self.centre[kept]) / self.spread[kept])

    def _columns(self, graph: ArchGraph) -> FloatArray:
        found = routes_of(graph)
        if found is None:
            return np.full(self.longest + 6 + 4 * len(self.operations), np.nan)
        routes: list[Route] = [route for route, n in found.items() for _ in range(n)]
        lengths = [len(route) for route in routes]
        columns: list[float] = [len(routes), *(lengths.count(i) for i in range(self.longest + 1))]
        columns += [*_spread(lengths), len(graph) - 2]
        for name in self.operations:
            columns += _spread([route.count(name) for route in routes])
            columns.append(graph.operations.count(name))
        return np.log1p(np.array(columns, dtype=np.float64))


def _spread(counts: Sequence[int]) -> list[float]:
    """Give the most, the fewest and the mean, 0 without any."""
    return [max(counts), min(counts), sum(counts) / len(counts)] if counts else [0.0] * 3
