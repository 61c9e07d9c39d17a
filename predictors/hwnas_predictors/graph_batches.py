"""Computation graphs of many architectures as arrays of one size, for graph networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph
from hwnas.spaces.facets import GraphLabels, Graphs, require_facet
from hwnas.typing import Arch, SearchSpace

FloatBatch = npt.NDArray[np.float32]

_SEPARATOR = ":"


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Graphs, padded at the end to the same number of nodes.

    Attributes:
        adjacency: `(n, v, v)` how often the value of node `i` is an addend of node `j`'s input.
        features: `(n, v, f)` flags of the parts of a node's label; the first two are input and
            output.
        mask: `(n, v)` which nodes there are.
    """

    adjacency: FloatBatch
    features: FloatBatch
    mask: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.mask)


def graph_labels(space: SearchSpace[Arch]) -> tuple[str, ...]:
    """Give the parts of node labels that a space lists.

    Raises:
        InvalidValueError: the space does not list them.
    """
    return require_facet(space, GraphLabels).graph_labels


def labels_in(graphs: Iterable[ArchGraph]) -> tuple[str, ...]:
    """Give the parts of node labels that occur in graphs, sorted."""
    parts = {part for g in graphs for label in g.operations[1:-1] for part in _parts(label)}
    return tuple(sorted(parts))


def graph_batch(
    space: SearchSpace[Arch],
    archs: Sequence[Arch],
    labels: Sequence[str] | None = None,
    nodes: int | None = None,
    to_graph: Callable[[Arch], ArchGraph] | None = None,
) -> GraphBatch:
    """Encode architectures as a batch of graphs.

    Args:
        space: search space.
        archs: `(n,)` architectures.
        labels: parts of node labels that have a feature; those that the space lists if None. A
            label such as ``k3_e6:16>24`` has the parts between its colons.
        nodes: number of nodes v; that of the largest graph if None.
        to_graph: gives the graph of an architecture, e.g. `ExactGraphs.exact_graph`; None for the
            space's canonical one.

    Returns:
        The batch, with `len(labels) + 2` features.

    Raises:
        InvalidValueError: the space has no graphs or lists no labels, a label has a part that has
            no feature, or a graph has more than `nodes` nodes.
    """
    names = (INPUT, OUTPUT, *(graph_labels(space) if labels is None else labels))
    graph_of = to_graph or require_facet(space, Graphs).to_graph
    graphs = [graph_of(arch) for arch in archs]
    largest = max(map(len, graphs), default=0)
    v = largest if nodes is None else nodes
    if largest > v:
        raise InvalidValueError(f"`nodes` must be at least {largest}, but got {v}.")
    number = {name: i for i, name in enumerate(names)}
    rows = _Rows(number)
    batch = GraphBatch(
        np.zeros((len(graphs), v, v), dtype=np.float32),
        np.zeros((len(graphs), v, len(names)), dtype=np.float32),
        np.zeros((len(graphs), v), dtype=np.bool_),
    )
    for i, graph in enumerate(graphs):
        size = len(graph)
        batch.adjacency[i, :size, :size] = graph.adjacency
        batch.features[i, :size] = [rows[label] for label in graph.operations]
        batch.mask[i, :size] = True
    return batch


def live_flags(batch: GraphBatch, zero: npt.NDArray[np.bool_]) -> FloatBatch:
    """Flag the nodes whose value depends on the input, and those that the output depends on.

    Args:
        batch: graphs without padding, nodes in topological order.
        zero: `(n, v)` nodes whose value is zero whatever their input.

    Returns:
        `(n, v, 2)` zeros and ones.
    """
    edges, v = batch.adjacency > 0, batch.adjacency.shape[1]
    reached, needed = np.zeros_like(batch.mask), np.zeros_like(batch.mask)
    reached[:, :1] = needed[:, -1:] = True
    for node in range(1, v):
        reached[:, node] = (edges[:, :, node] & reached).any(axis=1) & ~zero[:, node]
    for node in reversed(range(v - 1)):
        needed[:, node] = (edges[:, node] & needed).any(axis=1) & ~zero[:, node]
    return np.stack([reached, needed], axis=2).astype(np.float32)


class _Rows(dict[str, FloatBatch]):
    """The features of a label, worked out once."""

    def __init__(self, number: dict[str, int]) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, label: str) -> FloatBatch:
        row = np.zeros(len(self._number), dtype=np.float32)
        for part in _parts(label):
            if part not in self._number:
                raise InvalidValueError(
                    f"`labels` must hold every part of a node's label, but {part!r} of {label!r} "
                    f"is missing."
                )
            row[self._number[part]] = 1.0
        self[label] = row
        return row


def _parts(label: str) -> list[str]:
    return label.split(_SEPARATOR)
