"""Computation graphs of architectures, their canonical form and their hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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
        if self.adjacency[_not_upper(v)].any() or (self.adjacency < 0).any():
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
        (exact, not a heuristic; McKay and Piperno, Practical graph isomorphism II, 2014). Of nodes
        that an automorphism maps to each other one is enough: identical branches cost polynomial
        time.
        """
        search = _CanonicalSearch(self.adjacency)
        form, order = search.run(self._colours()).best
        # Every order sorts nodes by colour, hence by operation within a depth: labels agree.
        adjacency = np.frombuffer(form, self.adjacency.dtype).reshape(self.adjacency.shape)
        return ArchGraph(tuple(self.operations[i] for i in order), adjacency.copy())

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


@lru_cache(maxsize=16)
def _not_upper(v: int) -> npt.NDArray[np.bool_]:
    """Give (v, v): whether a place is on the diagonal or below."""
    return np.tri(v, dtype=np.bool_)


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


class _Leaf(NamedTuple):
    """An order of all nodes, and the bytes of the adjacency matrix in it."""

    form: bytes
    order: list[int]


class _Branch(NamedTuple):
    """What the search below one colouring has found.

    Attributes:
        first: the leaf where the first of all tied nodes was always taken.
        best: the leaf with the smallest form.
        automorphisms: image of each node; they keep every node that the colouring has told apart.
    """

    first: _Leaf
    best: _Leaf
    automorphisms: list[list[int]]


class _CanonicalSearch:
    """The tree of colourings in which tied nodes are told apart one after another."""

    def __init__(self, adjacency: IntArray) -> None:
        self._adjacency = adjacency
        self._neighbours = _neighbours(adjacency)

    def run(self, colours: list[int]) -> _Branch:
        """Search below a colouring."""
        colours = _refine(self._neighbours, colours)
        tied = _tied(colours)
        if not tied:
            leaf = self._leaf(colours)
            return _Branch(leaf, leaf, [])
        branches: dict[int, _Branch] = {}
        automorphisms = self._twins(colours, tied)
        for node in tied:
            if branches and node in _orbits(branches, automorphisms):
                continue
            split = _individualised(colours, node)
            # Equal forms are an automorphism, which maps one whole branch to the other.
            found = self._automorphism(branches, split) if branches else None
            if found is not None:
                automorphisms.append(found)
                continue
            branches[node] = self.run(split)
            automorphisms += branches[node].automorphisms
        first = branches[tied[0]].first
        return _Branch(first, min(branch.best for branch in branches.values()), automorphisms)

    def _twins(self, colours: list[int], tied: list[int]) -> list[list[int]]:
        """Give the automorphisms that swap the first tied node's part of the graph with another's.

        Parts are connected by way of nodes that are not told apart. Two that hold one node of each
        of their colours, and the same colours, look the same from inside and from outside: swapped,
        the graph is what it was. Identical branches are such parts, and no order of them is tried.
        """
        parts = self._parts(colours)
        first = {colours[i]: i for i in parts[tied[0]]}
        found = []
        for node in tied[1:]:
            other = {colours[i]: i for i in parts[node]}
            exact = len(other) == len(parts[node]) == len(parts[tied[0]])
            if node in parts[tied[0]] or not exact or other.keys() != first.keys():
                continue
            swapped = {first[c]: other[c] for c in first} | {other[c]: first[c] for c in first}
            found.append([swapped.get(i, i) for i in range(len(colours))])
        return found

    def _parts(self, colours: list[int]) -> dict[int, list[int]]:
        """Give each node of a colour that several have the part of such nodes that it is in."""
        count = Counter(colours)
        parts: dict[int, list[int]] = {}
        for start in (i for i, c in enumerate(colours) if count[c] > 1):
            if start in parts:
                continue
            part = parts[start] = [start]
            for node in part:
                for j, _ in (*self._neighbours[node][0], *self._neighbours[node][1]):
                    if count[colours[j]] > 1 and j not in parts:
                        parts[j] = part
                        part.append(j)
        return parts

    def _automorphism(self, branches: dict[int, _Branch], colours: list[int]) -> list[int] | None:
        """Map the first leaf of a branch to the first leaf below a colouring, if they are equal."""
        colours = _refine(self._neighbours, colours)
        while tied := _tied(colours):
            colours = _refine(self._neighbours, _individualised(colours, tied[0]))
        leaf = self._leaf(colours)
        for branch in branches.values():
            if branch.first.form == leaf.form:
                image = dict(zip(branch.first.order, leaf.order, strict=True))
                return [image[i] for i in range(len(image))]
        return None

    def _leaf(self, colours: list[int]) -> _Leaf:
        order = sorted(range(len(colours)), key=colours.__getitem__)
        return _Leaf(self._adjacency[np.ix_(order, order)].tobytes(), order)


def _tied(colours: list[int]) -> list[int]:
    """Give the nodes of the first colour that several have; none if all differ."""
    count = Counter(colours)
    colour = min((c for c, n in count.items() if n > 1), default=None)
    return [i for i, c in enumerate(colours) if c == colour]


def _individualised(colours: list[int], node: int) -> list[int]:
    """Put a node before the others of its colour."""
    tied = colours[node]
    return _ranks([(c, c == tied and i != node) for i, c in enumerate(colours)])


def _orbits(nodes: Iterable[int], automorphisms: list[list[int]]) -> set[int]:
    """Give everything that automorphisms map these nodes to."""
    found = set(nodes)
    todo = list(found)
    while todo:
        node = todo.pop()
        new = {image[node] for image in automorphisms} - found
        found |= new
        todo += new
    return found
