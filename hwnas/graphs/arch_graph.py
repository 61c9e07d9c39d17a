"""Computation graphs of architectures, their canonical form and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError

IntArray = npt.NDArray[np.int64]

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True, eq=False)
class ArchGraph:
    """A directed acyclic multigraph: nodes are operations, edges carry feature maps.

    The value of a node is its operation applied to the sum of its predecessors' values. Node 0 is
    the input and the last node the output.

    Attributes:
        operations: `(v,)` operation names.
        adjacency: `(v, v)` how often the value of node `i` is an addend of node `j`'s input;
            strictly upper triangular, so nodes stand in topological order.
    """

    operations: tuple[str, ...]
    adjacency: IntArray

    def __post_init__(self) -> None:
        v = len(self.operations)
        if v < 2 or self.operations[0] != INPUT or self.operations[-1] != OUTPUT:
            raise InvalidValueError(
                f"`operations` must start with 'input' and end with 'output', but got "
                f"{self.operations!r}."
            )
        if self.adjacency.shape != (v, v):
            raise InvalidValueError(
                f"`adjacency` must have shape ({v}, {v}), but got {self.adjacency.shape}."
            )
        if np.any(np.tril(self.adjacency)) or np.any(self.adjacency < 0):
            raise InvalidValueError(
                "`adjacency` must be strictly upper triangular and not negative: list nodes in "
                "topological order."
            )

    def __len__(self) -> int:
        return len(self.operations)

    def without_dead_nodes(self) -> ArchGraph:
        """Drop the nodes that the input does not reach or that do not reach the output."""
        forward, backward = _reach(self.adjacency), _reach(self.adjacency.T[::-1, ::-1])[::-1]
        alive = forward & backward
        alive[[0, -1]] = True
        keep = np.flatnonzero(alive)
        edges = self.adjacency * np.outer(forward, backward)
        return ArchGraph(tuple(self.operations[i] for i in keep), edges[np.ix_(keep, keep)])

    def canonical(self) -> ArchGraph:
        """Give the same graph for all isomorphic graphs, nodes in a fixed topological order.

        Colour refinement separates nodes by operation and neighbourhood; nodes that it leaves
        equal are individualised one after another, and the smallest adjacency matrix wins
        (exact, not a heuristic; McKay and Piperno, Practical graph isomorphism II, 2014).
        """
        orders = list(_leaf_orders(_neighbours(self.adjacency), self._colours()))
        forms = (self.adjacency[np.ix_(order, order)] for order in orders)
        best = min(forms, key=lambda form: form.tobytes()) if len(orders) > 1 else next(forms)
        # Every order sorts nodes by colour, hence by operation within a depth: labels agree.
        return ArchGraph(tuple(self.operations[i] for i in orders[0]), best)

    def digest(self) -> str:
        """Give 32 hexadecimal digits that are equal exactly for isomorphic graphs."""
        form = self.canonical()
        text = "|".join(form.operations) + "|" + form.adjacency.tobytes().hex()
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _colours(self) -> list[int]:
        """Number nodes by (longest path from the input, operation), so colours are topological."""
        depth = [0] * len(self)
        for j, column in enumerate(self.adjacency.T.tolist()):
            if j:
                depth[j] = max((depth[i] + 1 for i, count in enumerate(column) if count), default=1)
        depth[-1] = len(self)
        return _ranks(list(zip(depth, self.operations, strict=True)))


def chain_graph(operations: Iterable[str]) -> ArchGraph:
    """Give the graph of operations that follow each other; it is canonical as it is."""
    labels = (INPUT, *operations, OUTPUT)
    return ArchGraph(labels, np.eye(len(labels), k=1, dtype=np.int64))


def _reach(adjacency: IntArray) -> npt.NDArray[np.bool_]:
    """Tell which nodes the first node reaches, nodes in topological order."""
    reached = np.zeros(len(adjacency), dtype=np.bool_)
    reached[0] = True
    for j in range(1, len(adjacency)):
        reached[j] = np.any(reached[:j] & (adjacency[:j, j] > 0))
    return reached


Neighbours = list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]


def _neighbours(adjacency: IntArray) -> Neighbours:
    """List (node, count) of the predecessors and of the successors of each node."""
    rows, columns = adjacency.tolist(), adjacency.T.tolist()
    return [
        ([(i, n) for i, n in enumerate(into) if n], [(i, n) for i, n in enumerate(out) if n])
        for into, out in zip(columns, rows, strict=True)
    ]


def _ranks(keys: Sequence[Any]) -> list[int]:
    """Replace sortable keys by their dense ranks."""
    number = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [number[key] for key in keys]


def _refine(neighbours: Neighbours, colours: list[int]) -> list[int]:
    """Split colours by the multisets of neighbours' colours until nothing changes."""
    count = len(set(colours))
    while count < len(colours):
        colours = _ranks(
            [
                (
                    colour,
                    tuple(sorted((colours[j], n) for j, n in into)),
                    tuple(sorted((colours[j], n) for j, n in out)),
                )
                for colour, (into, out) in zip(colours, neighbours, strict=True)
            ]
        )
        before, count = count, len(set(colours))
        if count == before:
            break
    return colours


def _leaf_orders(neighbours: Neighbours, colours: list[int]) -> Iterator[list[int]]:
    """Yield the node orders that remain after breaking each tie in every possible way."""
    colours = _refine(neighbours, colours)
    v = len(colours)
    tied = next((c for c in range(v) if colours.count(c) > 1), None)
    if tied is None:
        yield sorted(range(v), key=colours.__getitem__)
        return
    for node in (i for i in range(v) if colours[i] == tied):
        split = _ranks([(c, c == tied and i != node) for i, c in enumerate(colours)])
        yield from _leaf_orders(neighbours, split)
