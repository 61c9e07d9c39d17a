"""The cells of NAS-Bench-201 and their graphs: six edges with an operation each."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from hwnas.errors import InvalidArchitectureError, unknown_name
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph, IntArray

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of each edge, in the order of the architecture string."""

_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
_OUTPUT_NODE = 3
_KNOWN = frozenset(OPERATIONS)
SIZE: int = len(OPERATIONS) ** len(EDGES)


@dataclass(frozen=True, order=True)
class Cell:
    """A NAS-Bench-201 cell; `str(cell)` is the official architecture string.

    Attributes:
        operations: `(6,)` operation names, in the order of `EDGES`.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != len(EDGES):
            raise InvalidArchitectureError(
                f"`operations` must have {len(EDGES)} entries, one an edge, but got "
                f"{len(self.operations)}."
            )
        if _KNOWN.issuperset(self.operations):
            return
        for (source, target), operation in zip(EDGES, self.operations, strict=True):
            if operation not in OPERATIONS:
                error = unknown_name(f"operation on edge {source}>{target}", operation, OPERATIONS)
                raise InvalidArchitectureError(str(error))

    def __str__(self) -> str:
        nodes = [[f"{o}~{s}" for (s, t), o in self.edges() if t == node] for node in (1, 2, 3)]
        return "+".join("|" + "|".join(terms) + "|" for terms in nodes)

    def edges(self) -> Iterator[tuple[tuple[int, int], str]]:
        """Iterate over ((source, target), operation)."""
        return zip(EDGES, self.operations, strict=True)

    def live_edges(self) -> frozenset[tuple[int, int]]:
        """Give the edges that lie on a path of operations from the input to the output."""
        used = [edge for edge, operation in self.edges() if operation != "none"]
        reached, leading = {0}, {_OUTPUT_NODE}
        for _ in range(_OUTPUT_NODE):
            reached |= {t for s, t in used if s in reached}
            leading |= {s for s, t in used if t in leading}
        return frozenset((s, t) for s, t in used if s in reached and t in leading)

    def is_live(self) -> bool:
        """Tell whether no operation other than `none` is dead or unreachable.

        9,445 cells are live: 9,444 with a path from input to output, and the all-`none` cell.
        """
        return len(self.live_edges()) == sum(o != "none" for o in self.operations)


@cache
def all_cells() -> tuple[Cell, ...]:
    """Give the 15,625 cells in lexicographic order of `OPERATIONS`, made once a process."""
    return tuple(map(Cell, itertools.product(OPERATIONS, repeat=len(EDGES))))


@lru_cache(SIZE)
def parse_cell(text: str) -> Cell:
    """Read an official architecture string, each once a process: tables hold the same ones.

    Args:
        text: e.g. ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|``.

    Returns:
        The cell.

    Raises:
        InvalidArchitectureError: the text is no such string; names the node, edge or operation.
    """
    where = f" in {text!r}; a valid one is {_EXAMPLE!r}."
    groups = text.strip().split("+")
    if len(groups) != _OUTPUT_NODE:
        raise InvalidArchitectureError(
            f"An architecture string must have 3 nodes joined by '+', but got {len(groups)}{where}"
        )
    operations: list[str] = []
    for target, group in enumerate(groups, start=1):
        if len(group) < 2 or group[0] != "|" or group[-1] != "|":
            raise InvalidArchitectureError(
                f"Node {target} must begin and end with '|', but got {group!r}{where}"
            )
        terms = group[1:-1].split("|")
        if len(terms) != target:
            raise InvalidArchitectureError(
                f"Node {target} must have {target} edges, but got {len(terms)}{where}"
            )
        for source, term in enumerate(terms):
            operation, _, origin = term.partition("~")
            if origin != str(source):
                raise InvalidArchitectureError(
                    f"Edge {source} of node {target} must be 'operation~{source}', but got "
                    f"{term!r}{where}"
                )
            operations.append(operation)
    return Cell(tuple(operations))


def cell_graph(cell: Cell, identities: Container[tuple[int, int]] = EDGES) -> ArchGraph:
    """Turn operations on edges into operations on nodes: skips contracted, dead ones removed.

    Args:
        cell: the cell.
        identities: edges whose `skip_connect` is the identity; on others it is an operation.
    """
    live = cell.live_edges()
    skips = {edge for edge, o in cell.edges() if o == "skip_connect" and edge in identities}
    work = [(edge, o) for edge, o in cell.edges() if edge in live and edge not in skips]
    labels = (INPUT, *(o for _, o in work), OUTPUT)
    index = {edge: i for i, (edge, _) in enumerate(work, start=1)}
    # The value of each cell node as a multiset of graph nodes: one count a graph node.
    value = [[0] * len(labels) for _ in range(_OUTPUT_NODE + 1)]
    value[0][0] = 1
    inputs = [[0] * len(labels) for _ in labels]
    for source, target in EDGES:
        if (source, target) not in live:
            continue
        if (source, target) in skips:
            value[target] = [a + b for a, b in zip(value[target], value[source], strict=True)]
        else:
            node = index[source, target]
            inputs[node] = value[source]
            value[target][node] += 1
    inputs[-1] = value[_OUTPUT_NODE]
    return ArchGraph(labels, np.array(inputs, dtype=np.int64).T)


def operation_graph(cell: Cell) -> ArchGraph:
    """Give the exact cell with a node for the operation of each edge, `none` and skips included.

    The adjacency is the same for all cells: an operation feeds those that leave its target. Models
    of measured cells see dead operations this way (Dudziak et al., BRP-NAS, 2020, Figure 2).
    """
    return ArchGraph((INPUT, *cell.operations, OUTPUT), _OPERATION_ADJACENCY)


def _operation_adjacency() -> IntArray:
    # The input leaves node 0, as if it came from an edge into it, and the output enters it last.
    ends = [(-1, 0), *EDGES, (_OUTPUT_NODE, _OUTPUT_NODE + 1)]
    follows = [[target == source for source, _ in ends] for _, target in ends]
    adjacency = np.array(follows, dtype=np.int64)
    adjacency.flags.writeable = False
    return adjacency


_OPERATION_ADJACENCY = _operation_adjacency()
