"""TransNAS-Bench-101 macro: 3,256 sequences of four to six modules of residual blocks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Map, RegressionMap, Task
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

MODULE_TYPES = {
    "normal": "1",
    "double": "2",
    "halve": "3",
    "double_halve": "4",
}
"""Digit of each type of module: some double the channels, some halve the image."""
DEPTHS = (4, 5, 6)
DOUBLINGS, HALVINGS = range(1, 4), range(1, 5)
"""How often a network may double its channels and halve its image."""
OPTIONS: Mapping[str, Options[Any]] = {
    "depth": Options(DEPTHS, ordered=True),
    **{f"module_{i}": Options(tuple(MODULE_TYPES)) for i in range(max(DEPTHS))},
}
_NAMES = {digit: name for name, digit in MODULE_TYPES.items()}
_MEMBERS = 3_256


@dataclass(frozen=True, order=True)
class MacroArch:
    """A sequence of modules; its text is that of the benchmark, e.g. ``64-41414-basic``.

    Attributes:
        modules: their types as digits, see `MODULE_TYPES`.
        channels: channels behind the stem.
    """

    modules: str
    channels: int = 64

    def __post_init__(self) -> None:
        if re.fullmatch("[1-4]{4,6}", self.modules) is None:
            raise InvalidArchitectureError(
                f"`modules` must be four to six digits from 1 to 4, but got {self.modules!r}."
            )
        doublings, halvings = (sum(map(self.modules.count, kinds)) for kinds in ("24", "34"))
        if doublings not in DOUBLINGS or halvings not in HALVINGS:
            raise InvalidArchitectureError(
                f"`modules` must double the channels one to three times (2, 4) and halve the image "
                f"one to four times (3, 4), but {self.modules} does so {doublings} and {halvings} "
                f"times."
            )

    def __str__(self) -> str:
        return f"{self.channels}-{self.modules}-basic"


@dataclass(frozen=True)
class TransNasMacro(Declared[MacroArch]):
    """The module sequences of TransNAS-Bench-101 macro, each of two ResNet blocks a module.

    No two of them are equal networks.

    Attributes:
        channels: channels behind the stem; the benchmark has 64.
    """

    channels: int = 64
    name: str = field(default="transnasbench101-macro", init=False, repr=False)

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise InvalidValueError(
                f"`channels` must be even and at least 2, but got {self.channels}."
            )

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """The depth, and the type of each module by ``module_NUMBER``."""
        return OPTIONS

    def __len__(self) -> int:
        return _MEMBERS

    def __iter__(self) -> Iterator[MacroArch]:
        """Iterate by depth, then by digits."""
        for depth in DEPTHS:
            for digits in itertools.product(_NAMES, repeat=depth):
                try:
                    yield MacroArch("".join(digits), self.channels)
                except InvalidArchitectureError:
                    continue

    def parse(self, text: str) -> MacroArch:
        """Read a text of the benchmark; `InvalidArchitectureError` names what is wrong."""
        found = re.fullmatch(rf"{self.channels}-(.*)-basic", text)
        if found is None:
            raise InvalidArchitectureError(
                f"An architecture must be '{self.channels}-MODULES-basic', as in "
                f"'64-41414-basic', but got {text!r}."
            )
        return MacroArch(found[1], self.channels)

    def make(self, choose: Choose) -> MacroArch:
        """Ask for the depth and the type of each module."""
        depth = choose("depth", OPTIONS["depth"])
        names = [choose(f"module_{i}", OPTIONS[f"module_{i}"]) for i in range(depth)]
        return MacroArch("".join(MODULE_TYPES[name] for name in names), self.channels)

    def values(self, arch: MacroArch) -> Mapping[str, Choice]:
        """Give the depth and the type of each module."""
        types = {f"module_{i}": _NAMES[digit] for i, digit in enumerate(arch.modules)}
        return {"depth": len(arch.modules), **types}

    def sample(self, rng: np.random.Generator) -> MacroArch:
        """Draw uniformly from the 3,256."""
        return _listed(self)[int(rng.integers(_MEMBERS))]

    @property
    def default_task(self) -> Task:
        """Object classification."""
        return get_task("class_object")

    def build(self, arch: MacroArch, task: Task | None = None) -> nn.Module:
        """Build the network; see `TransNasMicro.build` for tasks and errors."""
        from hwnas.spaces.transnasbench101.network import ResidualBlock, network

        return network(
            task or self.default_task, self.name, self.channels, arch.modules, ResidualBlock
        )

    def networks_version(self, task: Task) -> int:
        """Give 1 for networks with a decoder, whose cells proxies see beside it; else 0."""
        return int(isinstance(task.output, (Map, RegressionMap)))

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every label in `to_graph`."""
        return tuple(MODULE_TYPES)

    def to_graph(self, arch: MacroArch) -> ArchGraph:
        """Give the chain of modules."""
        return chain_graph(_NAMES[digit] for digit in arch.modules)


_LISTS: dict[int, tuple[MacroArch, ...]] = {}


def _listed(space: TransNasMacro) -> tuple[MacroArch, ...]:
    """List the members of a space once a process."""
    if space.channels not in _LISTS:
        _LISTS[space.channels] = tuple(space)
    return _LISTS[space.channels]
