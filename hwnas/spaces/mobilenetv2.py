"""MobileNetV2-like chains: depth, width, expansion and kernel of each of seven stages.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, Table 2. ZiCo (Li
et al., ICLR 2023), AZ-NAS and VKDNW search such chains below 450 M, 600 M and 1,000 M FLOPs, which
are multiply-accumulates there: ``macs<=450M`` here. Their code mutates structures in a way that no
paper defines as a set; this is the finite set that this page says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hwnas.errors import InvalidArchitectureError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets
from hwnas.spaces.options import insist_on_choice
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

KERNELS, EXPANSIONS = (3, 5, 7), (1, 2, 3, 4, 6)
DEPTHS = tuple(range(1, 9))
STEMS = tuple(range(16, 65, 8))
HEADS = tuple(range(640, 2049, 128))
STRIDES = (1, 2, 2, 2, 1, 2, 1)
WIDTHS = (
    tuple(range(8, 33, 8)),
    tuple(range(16, 49, 8)),
    tuple(range(24, 65, 8)),
    tuple(range(48, 129, 8)),
    tuple(range(72, 193, 8)),
    tuple(range(120, 321, 8)),
    tuple(range(240, 641, 8)),
)
"""Channels of each stage: from about half to about twice those of MobileNetV2, in steps of 8."""
MOBILENETV2 = "s32|k3e1w16d1|k3e6w24d2|k3e6w32d3|k3e6w64d4|k3e6w96d3|k3e6w160d3|k3e6w320d1|h1280"
"""The network of the paper."""


class Stage(NamedTuple):
    """Equal inverted residuals one after another; the first one changes the shape.

    Attributes:
        kernel: side of the depthwise convolution.
        expansion: how many times the channels before a block it has inside.
        width: channels behind each block.
        depth: blocks.
    """

    kernel: int
    expansion: int
    width: int
    depth: int

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expansion}w{self.width}d{self.depth}"


@dataclass(frozen=True, order=True)
class MobileNetV2Arch:
    """A chain; its text is the stem, the stages and the head, see `MOBILENETV2`.

    Attributes:
        stem: channels behind the first convolution.
        stages: the seven stages.
        head: channels before the classifier.
    """

    stem: int
    stages: tuple[Stage, ...]
    head: int

    def __post_init__(self) -> None:
        if len(self.stages) != len(STRIDES):
            raise InvalidArchitectureError(
                f"`stages` must be {len(STRIDES)}, but got {len(self.stages)}; a valid "
                f"architecture is {MOBILENETV2!r}."
            )
        insist_on_choice("stem", self.stem, STEMS)
        insist_on_choice("head", self.head, HEADS)
        for number, stage in enumerate(self.stages, start=1):
            allowed = (KERNELS, EXPANSIONS, WIDTHS[number - 1], DEPTHS)
            for what, value, choices in zip(Stage._fields, stage, allowed, strict=True):
                insist_on_choice(f"{what} of stage {number}", value, choices)

    def __str__(self) -> str:
        return "|".join([f"s{self.stem}", *map(str, self.stages), f"h{self.head}"])


@dataclass(frozen=True)
class MobileNetV2(Declared[MobileNetV2Arch]):
    """Chains of inverted residuals: kernel, expansion, width, depth of seven stages; stem and head.

    No two architectures are equal networks.
    """

    name: str = field(default="mobilenetv2", init=False, repr=False)
    facets: ClassVar[Facets] = {Counted: "hwnas.spaces.chain_counts:mobilenetv2"}

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``stem``, ``head``, and ``kernel_N``, ``expansion_N``, ``width_N``, ``depth_N``."""
        return _OPTIONS

    def parse(self, text: str) -> MobileNetV2Arch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        first, *middle = text.strip().split("|")
        last = middle.pop() if middle else ""
        (stem,), (head,) = _numbers(r"s([1-9]\d{0,3})", first), _numbers(r"h([1-9]\d{0,3})", last)
        form = r"k(\d)e(\d)w([1-9]\d{0,2})d(\d)"
        return MobileNetV2Arch(stem, tuple(Stage(*_numbers(form, part)) for part in middle), head)

    def make(self, choose: Choose) -> MobileNetV2Arch:
        """Ask for the stem, the four choices of each stage, and the head."""
        chosen = {name: choose(name, options) for name, options in _OPTIONS.items()}
        stages = (
            Stage(*(chosen[f"{what}_{number}"] for what in Stage._fields))
            for number in range(1, len(STRIDES) + 1)
        )
        return MobileNetV2Arch(chosen["stem"], tuple(stages), chosen["head"])

    def values(self, arch: MobileNetV2Arch) -> Mapping[str, Choice]:
        """Give all choices."""
        found: dict[str, Choice] = {"stem": arch.stem}
        for number, stage in enumerate(arch.stages, start=1):
            found |= {f"{what}_{number}": value for what, value in stage._asdict().items()}
        return found | {"head": arch.head}

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: MobileNetV2Arch, task: Task | None = None) -> nn.Module:
        """Build the network: ReLU6, no activation behind a block, dropout as published (.2).

        Args:
            arch: the architecture.
            task: classes of images; they are halved five times.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.mobilenetv2_network import MobileNetV2Network

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return MobileNetV2Network(arch, classes, in_shape[0])

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        widths = sorted({width for stage in WIDTHS for width in stage})
        ends = (*(f"stem{s}" for s in STEMS), *(f"head{h}" for h in HEADS))
        inside = (*(f"k{k}" for k in KERNELS), *(f"e{e}" for e in EXPANSIONS))
        return (*ends, *inside, *(f"w{w}" for w in widths), "first")

    def to_graph(self, arch: MobileNetV2Arch) -> ArchGraph:
        """Give the chain of blocks, e.g. ``k3:e6:w24:first``."""
        blocks = [
            f"k{s.kernel}:e{s.expansion}:w{s.width}{'' if number else ':first'}"
            for s in arch.stages
            for number in range(s.depth)
        ]
        return chain_graph([f"stem{arch.stem}", *blocks, f"head{arch.head}"])


def _options() -> Mapping[str, Options[Any]]:
    found: dict[str, Options[Any]] = {"stem": Options(STEMS, ordered=True)}
    for number, widths in enumerate(WIDTHS, start=1):
        allowed = (KERNELS, EXPANSIONS, widths, DEPTHS)
        for what, values in zip(Stage._fields, allowed, strict=True):
            found[f"{what}_{number}"] = Options(values, ordered=True)
    return found | {"head": Options(HEADS, ordered=True)}


_OPTIONS = _options()


def _numbers(form: str, text: str) -> tuple[int, ...]:
    found = re.fullmatch(form, text, re.ASCII)
    if found is None:
        raise InvalidArchitectureError(
            f"Each part of an architecture must be as in {str(MOBILENETV2)!r}, but got {text!r}."
        )
    return tuple(map(int, found.groups()))
