"""ResNets and Wide ResNets: block, width and depth of four stages.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016, Table 1, and Zagoruyko and
Komodakis, Wide Residual Networks, BMVC 2016. The survey's Figure 11 ranks networks of these two
families (Li et al., Zero-Shot Neural Architecture Search, 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.errors import InvalidArchitectureError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, Truth
from hwnas.spaces.options import insist_on_choice
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

BASIC, BOTTLENECK = "basic", "bottleneck"
EXPANSION = 4
"""Channels behind a bottleneck over those of its first convolution, when it is not wide."""
WIDTHS = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128)
FACTORS = (1.0, 1.5, 2.0)
DEPTHS = (
    tuple(range(1, 5)),
    tuple(range(1, 9)),
    (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 23, 28, 36),
    tuple(range(1, 5)),
)
OPTIONS: Mapping[str, Options[Any]] = {
    "block": Options((BASIC, BOTTLENECK)),
    "width": Options(WIDTHS, ordered=True),
    "factor": Options(FACTORS, ordered=True),
    **{f"depth_{i}": Options(depths, ordered=True) for i, depths in enumerate(DEPTHS, start=1)},
}
EXAMPLE = "bottleneck|w64x2|3,4,6,3"


@dataclass(frozen=True, order=True)
class ResNetArch:
    """A network; its text is e.g. ``basic|w64|2,2,2,2`` or ``bottleneck|w64x2|3,4,6,3``.

    Attributes:
        block: `BASIC` (two 3x3 convolutions) or `BOTTLENECK` (1x1, 3x3, 1x1).
        width: channels of the first stage; each other one has twice those of the one before it.
        factor: how much wider a bottleneck is inside; 1 for basic blocks.
        depths: `(4,)` blocks of each stage.
    """

    block: str
    width: int
    factor: float
    depths: tuple[int, ...]

    def __post_init__(self) -> None:
        insist_on_choice("block", self.block, (BASIC, BOTTLENECK))
        insist_on_choice("width", self.width, WIDTHS)
        insist_on_choice(
            "factor", self.factor, FACTORS if self.block == BOTTLENECK else FACTORS[:1]
        )
        if len(self.depths) != len(DEPTHS):
            raise InvalidArchitectureError(
                f"`depths` must be {len(DEPTHS)}, but got {len(self.depths)}; a valid architecture "
                f"is {EXAMPLE!r}."
            )
        for number, (depth, allowed) in enumerate(zip(self.depths, DEPTHS, strict=True), start=1):
            insist_on_choice(f"depth of stage {number}", depth, allowed)

    def __str__(self) -> str:
        factor = f"x{self.factor:g}" if self.block == BOTTLENECK else ""
        return f"{self.block}|w{self.width}{factor}|{','.join(map(str, self.depths))}"


PUBLISHED: Mapping[str, ResNetArch] = {
    "resnet18": ResNetArch(BASIC, 64, 1.0, (2, 2, 2, 2)),
    "resnet34": ResNetArch(BASIC, 64, 1.0, (3, 4, 6, 3)),
    "resnet50": ResNetArch(BOTTLENECK, 64, 1.0, (3, 4, 6, 3)),
    "resnet101": ResNetArch(BOTTLENECK, 64, 1.0, (3, 4, 23, 3)),
    "resnet152": ResNetArch(BOTTLENECK, 64, 1.0, (3, 8, 36, 3)),
    "wide_resnet50_2": ResNetArch(BOTTLENECK, 64, 2.0, (3, 4, 6, 3)),
    "wide_resnet101_2": ResNetArch(BOTTLENECK, 64, 2.0, (3, 4, 23, 3)),
}
"""Networks of the papers, by the names that timm and torchvision give them."""


@dataclass(frozen=True)
class ResNet(Declared[ResNetArch]):
    """ResNets of two kinds of blocks, with width and depths; no two of them are equal networks."""

    name: str = field(default="resnet", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Truth: "hwnas.data.timm_results:TrainedResNets",
        Counted: "hwnas.spaces.chain_counts:resnet",
    }

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``block``, ``width``, ``factor`` of bottlenecks, ``depth_1`` to ``depth_4``."""
        return OPTIONS

    def parse(self, text: str) -> ResNetArch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        form = r"([a-z]+)\|w([1-9]\d{0,2})(?:x([1-9](?:\.[1-9])?))?\|([1-9]\d?(?:,[1-9]\d?)*)"
        found = re.fullmatch(form, text, re.ASCII)
        if found is None or (found[1] == BOTTLENECK) != (found[3] is not None):
            raise InvalidArchitectureError(
                f"An architecture must be its block, width and depths, as in {EXAMPLE!r} or "
                f"'basic|w64|2,2,2,2', but got {text!r}."
            )
        depths = tuple(map(int, found[4].split(",")))
        return ResNetArch(found[1], int(found[2]), float(found[3] or 1), depths)

    def make(self, choose: Choose) -> ResNetArch:
        """Ask for the block, the width, the factor of a bottleneck, and the depths."""
        block, width = choose("block", OPTIONS["block"]), choose("width", OPTIONS["width"])
        factor = choose("factor", OPTIONS["factor"]) if block == BOTTLENECK else FACTORS[0]
        names = (f"depth_{number}" for number in range(1, len(DEPTHS) + 1))
        return ResNetArch(block, width, factor, tuple(choose(n, OPTIONS[n]) for n in names))

    def values(self, arch: ResNetArch) -> Mapping[str, Choice]:
        """Give the choices; there is no factor of basic blocks."""
        factor = {"factor": arch.factor} if arch.block == BOTTLENECK else {}
        depths = {f"depth_{i}": depth for i, depth in enumerate(arch.depths, start=1)}
        return {"block": arch.block, "width": arch.width, **factor, **depths}

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: ResNetArch, task: Task | None = None) -> nn.Module:
        """Build the network; the 3x3 convolution of a bottleneck has its stride, as in torchvision.

        Args:
            arch: the architecture.
            task: classes of images. With a side below 64 the stem is a 3x3 convolution that keeps
                the image, as in the paper's networks for CIFAR; else it halves it twice.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.resnet_network import ResNetNetwork

        return ResNetNetwork(arch, *image_classes(task or self.default_task, self.name))

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        widths = sorted({width * 2**stage for width in WIDTHS for stage in range(len(DEPTHS))})
        factors = (f"x{factor:g}" for factor in FACTORS)
        return (BASIC, BOTTLENECK, *(f"w{width}" for width in widths), *factors, "first")

    def to_graph(self, arch: ResNetArch) -> ArchGraph:
        """Give the chain of blocks, e.g. ``bottleneck:w64:x2:first``."""
        return chain_graph(
            f"{arch.block}:w{arch.width * 2**stage}:x{arch.factor:g}{'' if number else ':first'}"
            for stage, depth in enumerate(arch.depths)
            for number in range(depth)
        )
