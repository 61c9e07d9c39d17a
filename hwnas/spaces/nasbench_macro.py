"""NAS-Bench-Macro: chains of eight layers, each an identity or one of two inverted residuals.

Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021, Section 4 and
its published benchmark.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import InvalidArchitectureError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("identity", "k3_e3", "k5_e6")
"""Kernel size and expansion of an inverted residual; the digit of each in texts is its place."""
BLOCKS: Mapping[str, tuple[int, int]] = {"1": (3, 3), "2": (5, 6)}
"""Kernel size and expansion by the digit."""
STAGES = (2, 3, 3)
"""Layers a stage; the first one doubles the channels and halves the image."""
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
LAYERS = sum(STAGES)
OPTIONS = {f"layer_{i}": Options(OPERATIONS) for i in range(LAYERS)}


@dataclass(frozen=True, order=True)
class MacroChain:
    """A chain; its text is the benchmark's, a digit a layer, e.g. ``12210012``.

    Attributes:
        digits: eight digits, see `OPERATIONS`.
    """

    digits: str

    def __post_init__(self) -> None:
        if re.fullmatch(f"[0-2]{{{LAYERS}}}", self.digits, re.ASCII) is None:
            raise InvalidArchitectureError(
                f"An architecture must be {LAYERS} digits from 0 to {len(OPERATIONS) - 1}, one a "
                f"layer, as in '12210012', but got {self.digits!r}."
            )

    def __str__(self) -> str:
        return self.digits

    @property
    def operations(self) -> tuple[str, ...]:
        """Operation of each layer."""
        return tuple(OPERATIONS[int(digit)] for digit in self.digits)

    @property
    def stages(self) -> Iterator[str]:
        """Digits of each stage."""
        layers = iter(self.digits)
        return ("".join(itertools.islice(layers, length)) for length in STAGES)


@dataclass(frozen=True)
class NasBenchMacro(Declared[MacroChain]):
    """The 6,561 chains of NAS-Bench-Macro, 3,969 of them different networks.

    An identity is a 1x1 convolution with batch norm in the first layer of a stage, and nothing in
    the others.
    """

    name: str = field(default="nasbench-macro", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Counted: "hwnas.spaces.chain_counts:nasbench_macro",
        Truth: "hwnas.data.nasbench_macro:ChainAccuracies",
    }

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """Operations of each layer, by ``layer_NUMBER``."""
        return OPTIONS

    def __len__(self) -> int:
        return int(len(OPERATIONS) ** LAYERS)

    def __iter__(self) -> Iterator[MacroChain]:
        """Iterate in the order of the digits."""
        return (MacroChain("".join(digits)) for digits in itertools.product("012", repeat=LAYERS))

    def parse(self, text: str) -> MacroChain:
        """Read eight digits; `InvalidArchitectureError` says what is wrong."""
        return MacroChain(text)

    def make(self, choose: Choose) -> MacroChain:
        """Ask for the operation of each layer."""
        chosen = (OPERATIONS.index(choose(name, options)) for name, options in OPTIONS.items())
        return MacroChain("".join(map(str, chosen)))

    def values(self, arch: MacroChain) -> Mapping[str, str]:
        """Give the operation of each layer."""
        return dict(zip(OPTIONS, arch.operations, strict=True))

    def representative(self, arch: MacroChain) -> MacroChain:
        """Move the identities that do nothing behind the other layers of their stage."""
        return MacroChain(
            "".join(s[0] + s[1:].replace("0", "").ljust(len(s) - 1, "0") for s in arch.stages)
        )

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: MacroChain, task: Task | None = None) -> nn.Module:
        """Build the network of the benchmark.

        Args:
            arch: the chain.
            task: classes of images; they are halved three times.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.nasbench_macro_network import MacroNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return MacroNetwork(arch, classes, in_shape[0])

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        return (
            *OPERATIONS,
            *(f"w{STEM_CHANNELS * 2**n}" for n in range(1, len(STAGES) + 1)),
            "first",
        )

    def to_graph(self, arch: MacroChain) -> ArchGraph:
        """Give the chain of layers without those that do nothing, e.g. ``k3_e3:w64:first``."""
        return chain_graph(
            f"{OPERATIONS[int(digit)]}:w{STEM_CHANNELS * 2**number}{'' if layer else ':first'}"
            for number, digits in enumerate(arch.stages, start=1)
            for layer, digit in enumerate(digits)
            if layer == 0 or digit != "0"
        )
