"""The space of two cells, with the operations of one of five families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hwnas.errors import InvalidArchitectureError, InvalidValueError, unknown_name
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Drawing, Facets
from hwnas.spaces.nds.genotype import (
    INPUTS,
    NONE,
    NORMAL,
    REDUCE,
    Genotype,
    Term,
    canonical,
    depends,
    graph_of,
    read_genotype,
)
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn


class Family(NamedTuple):
    """What the cells of a paper are made of.

    Attributes:
        operations: their names, in the published order.
        states: states that a cell makes.
        joins_all: whether a cell joins all of them, or those that no other state takes.
    """

    operations: tuple[str, ...]
    states: int
    joins_all: bool


FAMILIES: Mapping[str, Family] = {
    "darts": Family(
        (NONE, "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
         "dil_conv_3x3", "dil_conv_5x5"), 4, True,
    ),
    "enas": Family(
        ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"), 5, False
    ),
    "amoeba": Family(
        ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "avg_pool_3x3",
         "max_pool_3x3", "dil_sep_conv_3x3", "conv_7x1_1x7"), 5, False,
    ),
    "nasnet": Family(
        ("skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3",
         "max_pool_3x3", "max_pool_5x5", "max_pool_7x7", "conv_1x1", "conv_3x3", "sep_conv_3x3",
         "sep_conv_5x5", "sep_conv_7x7"), 5, False,
    ),
    "pnas": Family(
        ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7", "skip_connect",
         "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3"), 5, True,
    ),
}  # fmt: skip
"""Radosavovic et al., ICCV 2019, Table 1."""


@dataclass(frozen=True)
class Nds(Declared[Genotype]):
    """Networks of a normal and a reduction cell, as five papers search them.

    Attributes:
        family: one of `FAMILIES`.
        channels: channels of the first cells.
        cells: cells; those after a third and two thirds of them reduce.
    """

    family: str = "darts"
    channels: int = 36
    cells: int = 20
    name: str = field(default="nds", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Counted: "hwnas.spaces.nds.counts:CellsCounts",
        Drawing: "hwnas.spaces.nds.drawing:CellsDrawing",
    }

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown_name("family", self.family, FAMILIES)
        if self.channels < 2 or self.channels % 2:
            raise InvalidValueError(
                f"`channels` must be even and at least 2, but got {self.channels}."
            )
        if self.cells < 1:
            raise InvalidValueError(f"`cells` must be at least 1, but got {self.cells}.")

    @property
    def parts(self) -> Family:
        """What the family's cells are made of."""
        return FAMILIES[self.family]

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``CELL_STATE_TERM_from`` and ``CELL_STATE_TERM_op`` of each addend of each state."""
        return dict(both for asked in _asked(self.family) for both in asked)

    def parse(self, text: str) -> Genotype:
        """Read the text; `InvalidArchitectureError` says what is wrong."""
        genotype = read_genotype(text)
        for cell, states in genotype.cells():
            if len(states) != self.parts.states:
                raise InvalidArchitectureError(
                    f"The {cell} cell of family {self.family} must have {self.parts.states} "
                    f"states, but got {len(states)}."
                )
            for term in (term for terms in states for term in terms):
                if term.operation not in self.parts.operations:
                    known = self.parts.operations
                    error = unknown_name(f"operation of {self.family}", term.operation, known)
                    raise InvalidArchitectureError(str(error))
        return genotype

    def make(self, choose: Choose) -> Genotype:
        """Ask for the state and the operation of each addend."""

        def term(number: int) -> Term:
            (source, sources), (operation, operations) = asked[number]
            chosen = choose(source, sources)
            return Term(choose(operation, operations), chosen)

        asked = _asked(self.family)
        states = [(term(number), term(number + 1)) for number in range(0, len(asked), 2)]
        return Genotype(tuple(states[: self.parts.states]), tuple(states[self.parts.states :]))

    def values(self, arch: Genotype) -> Mapping[str, Choice]:
        """Give the state and the operation of each addend."""
        found: dict[str, Choice] = {}
        for cell, states in arch.cells():
            for state, terms in enumerate(states, start=INPUTS):
                for name, term in zip(_names(cell, state), terms, strict=True):
                    found |= {f"{name}_from": term.source, f"{name}_op": term.operation}
        return found

    def is_valid(self, arch: Genotype) -> bool:
        """Tell whether the last cell depends on the images, through all cells before it."""
        before = (True, True)
        for reduces in self.reductions:
            states = arch.reduce if reduces else arch.normal
            before = before[1], depends(states, self.parts.joins_all, before)
        return before[1]

    @property
    def reductions(self) -> tuple[bool, ...]:
        """Whether each cell is a reduction."""
        places = {self.cells // 3, 2 * self.cells // 3}
        return tuple(number in places for number in range(self.cells))

    def representative(self, arch: Genotype) -> Genotype:
        """Give the least order of addends and states, see `canonical`.

        Equal networks that an identity or a zero hides are told apart.
        """
        return canonical(arch)

    def to_graph(self, arch: Genotype) -> ArchGraph:
        """Give the canonical graph of both cells, see `graph_of`."""
        return graph_of(arch, self.parts.joins_all)

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        work = (name for name in self.parts.operations if name != NONE)
        return (NORMAL, REDUCE, "input0", "input1", "sum", *work)

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: Genotype, task: Task | None = None) -> nn.Module:
        """Build the network without auxiliary head and without dropped paths.

        Args:
            arch: the genotype.
            task: classes of images. With a side below 64 the stem keeps the image, else it has
                the three strides of two that the papers use on ImageNet.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.nds.network import CellsNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return CellsNetwork(
            arch, self.parts.joins_all, self.channels, self.reductions, classes, in_shape
        )


def _names(cell: str, state: int) -> tuple[str, str]:
    return f"{cell}_{state}_1", f"{cell}_{state}_2"


@cache
def _asked(family: str) -> Sequence[tuple[tuple[str, Options[int]], tuple[str, Options[str]]]]:
    """Give what is asked for each addend; made once, since every architecture asks for all."""
    parts = FAMILIES[family]
    operations = Options(parts.operations)
    return [
        ((f"{name}_from", Options(tuple(range(state)))), (f"{name}_op", operations))
        for cell in (NORMAL, REDUCE)
        for state in range(INPUTS, INPUTS + parts.states)
        for name in _names(cell, state)
    ]
