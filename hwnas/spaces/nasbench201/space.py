"""The NAS-Bench-201 search space: 15,625 cells and their networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Drawing, ExactGraphs, Facets, Features, RankFigures, Truth
from hwnas.spaces.nasbench201.cell import (
    EDGES,
    OPERATIONS,
    SIZE,
    Cell,
    all_cells,
    cell_graph,
    operation_graph,
    parse_cell,
)
from hwnas.spaces.nasbench201.classes import cell_classes
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Surrogate

if TYPE_CHECKING:
    from torch import nn

OPTIONS = {f"edge_{source}_{target}": Options(OPERATIONS) for source, target in EDGES}


@dataclass(frozen=True)
class NasBench201(Declared[Cell]):
    """The cells and networks of NAS-Bench-201.

    Spaces of equal settings are equal.

    Attributes:
        channels: channels of the first stage (C of the paper).
        cells: cells a stage (N of the paper).
    """

    channels: int = 16
    cells: int = 5
    name: str = field(default="nasbench201", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Drawing: "hwnas.spaces.nasbench201.drawing:CellDrawing",
        ExactGraphs: "hwnas.spaces.nasbench201.space:OperationGraphs",
        Features: "hwnas.spaces.nasbench201.features:GrafFeatures",
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
        return SIZE

    def __iter__(self) -> Iterator[Cell]:
        """Iterate in lexicographic order of `OPERATIONS`; this is not the official index."""
        return iter(all_cells())

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
        return cell_classes().is_connected(arch)

    def canonical_key(self, arch: Cell) -> str:
        """Give the hash of the canonical computation graph: 5,425 different ones.

        Dead operations are removed, `skip_connect` is contracted, sums are multisets, each
        operation on an edge is an instance of its own, and isomorphic graphs are equal.
        """
        return cell_classes().key(arch)

    def representative(self, arch: Cell) -> Cell:
        """Give the first live member of the class in the order of iteration."""
        return cell_classes().representative(arch)

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
        from hwnas.spaces.nasbench201.network import CellNetwork

        num_classes, in_shape = image_classes(task or self.default_task, self.name)
        return CellNetwork(arch, self.channels, self.cells, num_classes, in_shape)

    def build_surrogate(self, arch: Cell, surrogate: Surrogate, task: Task) -> nn.Module:
        """Build a smaller network of exactly this cell: other channels, cells, modules, stem."""
        from hwnas.spaces.nasbench201.network import CellNetwork

        num_classes, in_shape = image_classes(task, self.name)
        return CellNetwork(
            arch,
            surrogate.channels,
            surrogate.cells,
            num_classes,
            in_shape,
            stages=surrogate.modules,
            stem=surrogate.stem,
            zeros=surrogate.zeros,
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
        return cell_classes().is_live(arch)


@dataclass(frozen=True)
class OperationGraphs:
    """The facet `ExactGraphs`: see `operation_graph`."""

    space: NasBench201
    zero_label: str = "none"

    def exact_graph(self, arch: Cell) -> ArchGraph:
        """Give the graph of exactly this cell."""
        return operation_graph(arch)


@cache
def _canonical_graph(cell: Cell) -> ArchGraph:
    graph = cell_graph(cell).canonical()
    graph.adjacency.flags.writeable = False
    return graph
