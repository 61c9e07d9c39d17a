"""The NAS-Bench-201 search space: 15,625 cells of six edges with five operations each.

Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
ICLR 2020. Node 0 is the input of a cell and node 3 its output; every node is the sum of its
incoming edges.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import ClassVar

import numpy as np
from torch import nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError, unknown_name
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph, IntArray
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Drawing, ExactGraphs, Facets, Features, RankFigures, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Surrogate

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of each edge, in the order of the architecture string."""
OPTIONS = {f"edge_{source}_{target}": Options(OPERATIONS) for source, target in EDGES}

_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
_OUTPUT_NODE = 3


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


def parse_cell(text: str) -> Cell:
    """Read an official architecture string.

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
        if not re.fullmatch(r"\|.*\|", group):
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


@dataclass(frozen=True)
class NasBench201(Declared[Cell]):
    """The cells and networks of NAS-Bench-201; equal settings are equal spaces.

    Attributes:
        channels: channels of the first stage (C of the paper).
        cells: cells a stage (N of the paper).
    """

    channels: int = 16
    cells: int = 5
    name: str = field(default="nasbench201", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Drawing: "hwnas.spaces.nasbench201_drawing:CellDrawing",
        ExactGraphs: "hwnas.spaces.nasbench201:OperationGraphs",
        Features: "hwnas.spaces.nasbench201_features:GrafFeatures",
        RankFigures: "hwnas.data.nasbench201_figures:CellFigures",
        Truth: "hwnas.data.nasbench201:CellAccuracies",
    }

    def __post_init__(self) -> None:
        for setting, value in (("channels", self.channels), ("cells", self.cells)):
            if value < 1:
                raise InvalidValueError(f"`{setting}` must be at least 1, but got {value}.")

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """Operations of each edge, by ``edge_SOURCE_TARGET``."""
        return OPTIONS

    def __len__(self) -> int:
        return int(len(OPERATIONS) ** len(EDGES))

    def __iter__(self) -> Iterator[Cell]:
        """Iterate in lexicographic order of `OPERATIONS`; this is not the official index."""
        return (Cell(choice) for choice in itertools.product(OPERATIONS, repeat=len(EDGES)))

    def parse(self, text: str) -> Cell:
        """Read an official architecture string; `InvalidArchitectureError` names what is wrong."""
        return parse_cell(text)

    def make(self, choose: Choose) -> Cell:
        """Ask for the operation of each edge."""
        return Cell(tuple(choose(name, options) for name, options in OPTIONS.items()))

    def values(self, arch: Cell) -> Mapping[str, str]:
        """Give the operation of each edge."""
        return dict(zip(OPTIONS, arch.operations, strict=True))

    def is_valid(self, arch: Cell) -> bool:
        """Tell whether a path of operations joins the input and the output."""
        return bool(arch.live_edges())

    def canonical_key(self, arch: Cell) -> str:
        """Give the hash of the canonical computation graph: 5,425 different ones.

        Dead operations are removed, `skip_connect` is contracted, sums are multisets, each
        operation on an edge is an instance of its own, and isomorphic graphs are equal.
        """
        return _canonical_key(arch)

    def representative(self, arch: Cell) -> Cell:
        """Give the first live member of the class in the order of iteration."""
        return _representatives()[_canonical_key(arch)]

    def neighbours(self, arch: Cell) -> Sequence[Cell]:
        """List the 24 cells that differ in one operation."""
        return [
            Cell((*arch.operations[:i], other, *arch.operations[i + 1 :]))
            for i, operation in enumerate(arch.operations)
            for other in OPERATIONS
            if other != operation
        ]

    def sample(self, rng: np.random.Generator) -> Cell:
        """Draw a cell uniformly from the 15,625."""
        return Cell(tuple(OPERATIONS[i] for i in rng.integers(len(OPERATIONS), size=len(EDGES))))

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: Cell, task: Task | None = None) -> nn.Module:
        """Build exactly this cell's network, dead operations included.

        Args:
            arch: the cell.
            task: classes of images; their H and W must be multiples of 4.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.nasbench201_network import CellNetwork

        num_classes, in_shape = image_classes(task or self.default_task, self.name)
        return CellNetwork(arch, self.channels, self.cells, num_classes, in_shape)

    def build_surrogate(self, arch: Cell, surrogate: Surrogate, task: Task) -> nn.Module:
        """Build a smaller network of exactly this cell: other channels, cells, modules, stem."""
        from hwnas.spaces.nasbench201_network import CellNetwork

        num_classes, in_shape = image_classes(task, self.name)
        return CellNetwork(
            arch,
            surrogate.channels,
            surrogate.cells,
            num_classes,
            in_shape,
            stages=surrogate.modules,
            stem=surrogate.stem,
        )

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every label in `to_graph` and `operation_graph`."""
        return OPERATIONS

    def to_graph(self, arch: Cell) -> ArchGraph:
        """Give the canonical computation graph, one node an operation other than a skip."""
        return _canonical_graph(arch)

    def is_live(self, arch: Cell) -> bool:
        """Tell whether no operation other than `none` is dead or unreachable."""
        return arch.is_live()


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
    value = np.zeros((_OUTPUT_NODE + 1, len(labels)), dtype=np.int64)
    value[0, 0] = 1
    adjacency = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for source, target in EDGES:
        if (source, target) not in live:
            continue
        if (source, target) in skips:
            value[target] += value[source]
        else:
            node = index[source, target]
            adjacency[:, node] = value[source]
            value[target, node] += 1
    adjacency[:, -1] = value[_OUTPUT_NODE]
    return ArchGraph(labels, adjacency)


def operation_graph(cell: Cell) -> ArchGraph:
    """Give the exact cell with a node for the operation of each edge, `none` and skips included.

    The adjacency is the same for all cells: an operation feeds those that leave its target. Models
    of measured cells see dead operations this way (Dudziak et al., BRP-NAS, 2020, Figure 2).
    """
    return ArchGraph((INPUT, *cell.operations, OUTPUT), _OPERATION_ADJACENCY)


@dataclass(frozen=True)
class OperationGraphs:
    """The facet `ExactGraphs`: see `operation_graph`."""

    space: NasBench201
    zero_label: str = "none"

    def exact_graph(self, arch: Cell) -> ArchGraph:
        """Give the graph of exactly this cell."""
        return operation_graph(arch)


def _operation_adjacency() -> IntArray:
    # The input leaves node 0, as if it came from an edge into it, and the output enters it last.
    ends = [(-1, 0), *EDGES, (_OUTPUT_NODE, _OUTPUT_NODE + 1)]
    follows = [[target == source for source, _ in ends] for _, target in ends]
    adjacency = np.array(follows, dtype=np.int64)
    adjacency.flags.writeable = False
    return adjacency


_OPERATION_ADJACENCY = _operation_adjacency()


@cache
def _canonical_graph(cell: Cell) -> ArchGraph:
    graph = cell_graph(cell).canonical()
    graph.adjacency.flags.writeable = False
    return graph


@cache
def _canonical_key(cell: Cell) -> str:
    live = cell.live_edges()
    kept = Cell(tuple(o if edge in live else "none" for edge, o in cell.edges()))
    # Dead operations are not in the graph: of 15,625 cells, 9,445 are worked out.
    return cell_graph(cell).digest() if kept == cell else _canonical_key(kept)


@lru_cache(maxsize=1)
def _representatives() -> Mapping[str, Cell]:
    first: dict[str, Cell] = {}
    for cell in NasBench201():
        if cell.is_live():
            first.setdefault(_canonical_key(cell), cell)
    return first
