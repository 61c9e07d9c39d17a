"""TransNAS-Bench-101 micro: 4,096 cells of six edges with four operations each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Drawing, Facets, RankFigures, Truth
from hwnas.spaces.nasbench201 import EDGES, Cell, cell_graph
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Map, RegressionMap, Task
from hwnas.typing import Surrogate

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""Operations by their digit in the text of an architecture."""
OPTIONS = {f"edge_{source}_{target}": Options(OPERATIONS) for source, target in EDGES}
MODULES = "41414"
"""Five modules; see `hwnas.spaces.transnasbench101.macro.MODULE_TYPES`."""
_IDENTITIES = frozenset((source, target) for source, target in EDGES if source)
# Out of the cell's input a skip halves the image and doubles the channels in some cells.
_EXAMPLE = "64-41414-3_33_333"


@dataclass(frozen=True, order=True)
class MicroArch:
    """A cell in five modules; its text is that of the benchmark, e.g. ``64-41414-3_10_203``.

    The digits are the operations into node 1, nodes 2 and 3, each from node 0 on.

    Attributes:
        cell: the cell, which has no pooling.
        channels: channels behind the stem.
    """

    cell: Cell
    channels: int = 64

    def __post_init__(self) -> None:
        for (source, target), operation in self.cell.edges():
            if operation not in OPERATIONS:
                raise InvalidArchitectureError(
                    f"`operation on edge {source}>{target}` must be one of "
                    f"{', '.join(OPERATIONS)}, but got {operation!r}."
                )

    def __str__(self) -> str:
        digits = "".join(str(OPERATIONS.index(o)) for o in self.cell.operations)
        return f"{self.channels}-{MODULES}-{digits[0]}_{digits[1:3]}_{digits[3:]}"


@dataclass(frozen=True)
class TransNasMicro(Declared[MicroArch]):
    """The cells and networks of TransNAS-Bench-101 micro.

    Spaces of equal settings are equal.

    Attributes:
        channels: channels behind the stem; the benchmark has 64.
    """

    channels: int = 64
    name: str = field(default="transnasbench101-micro", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Drawing: "hwnas.spaces.transnasbench101.drawing:MicroDrawing",
        Truth: "hwnas.data.transnasbench101:MicroResults",
        RankFigures: "hwnas.data.transnasbench101_figures:MicroFigures",
    }

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise InvalidValueError(
                f"`channels` must be even and at least 2, but got {self.channels}."
            )

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """Operations of each edge, by ``edge_SOURCE_TARGET``."""
        return OPTIONS

    def __len__(self) -> int:
        return int(len(OPERATIONS) ** len(EDGES))

    def __iter__(self) -> Iterator[MicroArch]:
        """Iterate in the order of the benchmark's index."""
        return map(self._arch, itertools.product(OPERATIONS, repeat=len(EDGES)))

    def parse(self, text: str) -> MicroArch:
        """Read a text of the benchmark; `InvalidArchitectureError` names what is wrong."""
        found = re.fullmatch(rf"{self.channels}-{MODULES}-([0-3])_([0-3]{{2}})_([0-3]{{3}})", text)
        if found is None:
            raise InvalidArchitectureError(
                f"An architecture must be {self.channels}-{MODULES}-, a digit from 0 to 3, two and "
                f"three of them, joined by '_', as in {_EXAMPLE!r}, but got {text!r}."
            )
        return self._arch(tuple(OPERATIONS[int(digit)] for digit in "".join(found.groups())))

    def make(self, choose: Choose) -> MicroArch:
        """Ask for the operation of each edge."""
        return self._arch(tuple(choose(name, options) for name, options in OPTIONS.items()))

    def values(self, arch: MicroArch) -> Mapping[str, str]:
        """Give the operation of each edge."""
        return dict(zip(OPTIONS, arch.cell.operations, strict=True))

    def is_valid(self, arch: MicroArch) -> bool:
        """Tell whether a path of operations joins the input and the output."""
        return bool(arch.cell.live_edges())

    def canonical_key(self, arch: MicroArch) -> str:
        """Give the hash of the canonical computation graph, equal exactly for equal networks."""
        return _digest(arch.cell)

    def representative(self, arch: MicroArch) -> MicroArch:
        """Give the first live member of the class in the order of iteration."""
        return self._arch(_representatives()[_digest(arch.cell)])

    def neighbours(self, arch: MicroArch) -> Sequence[MicroArch]:
        """List the 18 architectures that differ in one operation."""
        old = arch.cell.operations
        return [
            self._arch((*old[:i], other, *old[i + 1 :]))
            for i, operation in enumerate(old)
            for other in OPERATIONS
            if other != operation
        ]

    def sample(self, rng: np.random.Generator) -> MicroArch:
        """Draw uniformly from the 4,096."""
        return self._arch(tuple(OPERATIONS[i] for i in rng.integers(len(OPERATIONS), size=6)))

    @property
    def default_task(self) -> Task:
        """Object classification."""
        return get_task("class_object")

    def build(self, arch: MicroArch, task: Task | None = None) -> nn.Module:
        """Build exactly this network, dead operations included.

        Args:
            arch: the architecture.
            task: any of images: a classifier or regressor of pooled features, or the benchmark's
                decoder behind a map. The task called ``jigsaw`` is solved tile by tile.

        Returns:
            A network that maps `(B, C, H, W)` images to the task's output.

        Raises:
            InvalidValueError: the task has no images, or no decoder makes a map of this size.
        """
        return self._network(arch, task or self.default_task, self.channels)

    def build_surrogate(self, arch: MicroArch, surrogate: Surrogate, task: Task) -> nn.Module:
        """Build the network with fewer channels; the modules are part of the architecture."""
        return self._network(arch, task, surrogate.channels, surrogate.zeros)

    def _network(
        self, arch: MicroArch, task: Task, channels: int, zeros: bool = False
    ) -> nn.Module:
        from hwnas.spaces.transnasbench101.network import CellBlock, network

        def block(c_in: int, c_out: int, stride: int) -> nn.Module:
            return CellBlock(arch.cell, c_in, c_out, stride, zeros=zeros)

        return network(task, self.name, channels, MODULES, block)

    def networks_version(self, task: Task) -> int:
        """Give 1 for networks with a decoder, whose cells proxies see beside it; else 0."""
        return int(isinstance(task.output, (Map, RegressionMap)))

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every label in `to_graph`."""
        return OPERATIONS

    def to_graph(self, arch: MicroArch) -> ArchGraph:
        """Give the canonical computation graph.

        A skip out of the cell's input is an operation: it is a strided one in some cells.
        """
        return _graph(arch.cell)

    def is_live(self, arch: MicroArch) -> bool:
        """Tell whether no operation other than `none` is dead or unreachable."""
        return arch.cell.is_live()

    def _arch(self, operations: tuple[str, ...]) -> MicroArch:
        return MicroArch(Cell(operations), self.channels)


@cache
def _graph(cell: Cell) -> ArchGraph:
    graph = cell_graph(cell, _IDENTITIES).canonical()
    graph.adjacency.flags.writeable = False
    return graph


@cache
def _digest(cell: Cell) -> str:
    return _graph(cell).digest()


@lru_cache(maxsize=1)
def _representatives() -> Mapping[str, tuple[str, ...]]:
    first: dict[str, tuple[str, ...]] = {}
    for arch in TransNasMicro():
        if arch.cell.is_live():
            first.setdefault(_digest(arch.cell), arch.cell.operations)
    return first
