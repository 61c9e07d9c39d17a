"""Pooling-based vision transformers: heads, channels, depth and expansion of three stages.

Heo et al., Rethinking Spatial Dimensions of Vision Transformers, ICCV 2021, Table 3; Wei et al.,
Auto-Prox, AAAI 2024, search such networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets
from hwnas.spaces.options import insist_on_choice
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice, InShape

if TYPE_CHECKING:
    from torch import nn

HEAD_CHANNELS = (16, 24, 32, 40, 48, 64)
HEADS = (2, 3, 4)
DEPTHS = ((1, 2, 3), (4, 6, 8), (2, 4, 6))
RATIOS = (2, 3, 4, 6, 8)
OPTIONS: Mapping[str, Options[Any]] = {
    "channels": Options(HEAD_CHANNELS, ordered=True),
    "heads": Options(HEADS, ordered=True),
    **{f"depth_{i}": Options(depths, ordered=True) for i, depths in enumerate(DEPTHS, start=1)},
    **{f"ratio_{i}": Options(RATIOS, ordered=True) for i in range(1, len(DEPTHS) + 1)},
}
PIT_TI = "c32h2|d2r4|d6r4|d4r4"


class Stage(NamedTuple):
    """Layers between two poolings.

    Attributes:
        depth: how many.
        ratio: how much wider the perceptrons are inside.
    """

    depth: int
    ratio: int

    def __str__(self) -> str:
        return f"d{self.depth}r{self.ratio}"


@dataclass(frozen=True, order=True)
class PitArch:
    """A network; its text is e.g. ``c32h2|d2r4|d6r4|d4r4``, the paper's PiT-Ti.

    Attributes:
        channels: channels of each head.
        heads: heads of the first stage; each other one has twice those of the one before it.
        stages: the three stages.
    """

    channels: int
    heads: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        insist_on_choice("channels", self.channels, HEAD_CHANNELS)
        insist_on_choice("heads", self.heads, HEADS)
        if len(self.stages) != len(DEPTHS):
            raise InvalidArchitectureError(
                f"`stages` must be {len(DEPTHS)}, but got {len(self.stages)}; a valid architecture "
                f"is {PIT_TI!r}."
            )
        for number, (stage, depths) in enumerate(zip(self.stages, DEPTHS, strict=True), start=1):
            insist_on_choice(f"depth of stage {number}", stage.depth, depths)
            insist_on_choice(f"ratio of stage {number}", stage.ratio, RATIOS)

    def __str__(self) -> str:
        return "|".join([f"c{self.channels}h{self.heads}", *map(str, self.stages)])

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the tokens of each stage."""
        return tuple(self.channels * self.heads * 2**i for i in range(len(self.stages)))


@dataclass(frozen=True)
class Pit(Declared[PitArch]):
    """Pooling-based vision transformers; no two of them are equal networks.

    Attributes:
        patch: side of a patch; PiT-B has 14.
        stride: pixels from a patch to the next one; PiT-B has 7.
    """

    patch: int = 16
    stride: int = 8
    name: str = field(default="pit", init=False, repr=False)
    facets: ClassVar[Facets] = {Counted: "hwnas.spaces.transformer_counts:pit"}

    def __post_init__(self) -> None:
        for setting, value in (("patch", self.patch), ("stride", self.stride)):
            if value < 1:
                raise InvalidValueError(f"`{setting}` must be at least 1, but got {value}.")

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``channels``, ``heads``, ``depth_N`` and ``ratio_N`` of three stages."""
        return OPTIONS

    def parse(self, text: str) -> PitArch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        first, *others = text.split("|")
        head = re.fullmatch(r"c([1-9]\d?)h(\d)", first, re.ASCII)
        found = [re.fullmatch(r"d(\d)r(\d)", part, re.ASCII) for part in others]
        stages = tuple(Stage(int(m[1]), int(m[2])) for m in found if m is not None)
        if head is None or len(stages) < len(others):
            raise InvalidArchitectureError(
                f"An architecture must be its heads and three stages, as in {PIT_TI!r}, but got "
                f"{text!r}."
            )
        return PitArch(int(head[1]), int(head[2]), stages)

    def make(self, choose: Choose) -> PitArch:
        """Ask for channels, heads, and depth and ratio of each stage."""
        chosen = {name: choose(name, options) for name, options in OPTIONS.items()}
        numbers = range(1, len(DEPTHS) + 1)
        stages = tuple(Stage(chosen[f"depth_{i}"], chosen[f"ratio_{i}"]) for i in numbers)
        return PitArch(chosen["channels"], chosen["heads"], stages)

    def values(self, arch: PitArch) -> Mapping[str, Choice]:
        """Give all choices."""
        found: dict[str, Choice] = {"channels": arch.channels, "heads": arch.heads}
        stages = list(enumerate(arch.stages, start=1))
        found |= {f"depth_{number}": stage.depth for number, stage in stages}
        return found | {f"ratio_{number}": stage.ratio for number, stage in stages}

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: PitArch, task: Task | None = None) -> nn.Module:
        """Build the network without distillation and without dropout.

        Args:
            arch: the architecture.
            task: classes of images with sides of a patch at least.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.pit_network import PitNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return PitNetwork(arch, self, classes, in_shape)

    def patches_of(self, in_shape: InShape) -> tuple[int, int]:
        """Give the rows and columns of patches of an image (C, H, W).

        Raises:
            InvalidValueError: it is smaller than a patch.
        """
        if min(in_shape[1:]) < self.patch:
            raise InvalidValueError(
                f"`task` must have images with sides of at least {self.patch}, a patch, but got "
                f"{in_shape}."
            )
        rows, columns = ((side - self.patch) // self.stride + 1 for side in in_shape[1:])
        return rows, columns

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        heads = sorted({heads * 2**i for heads in HEADS for i in range(len(DEPTHS))})
        channels, ratios = (f"c{c}" for c in HEAD_CHANNELS), (f"r{r}" for r in RATIOS)
        return ("pool", *(f"h{h}" for h in heads), *channels, *ratios)

    def to_graph(self, arch: PitArch) -> ArchGraph:
        """Give the chain of layers and poolings, e.g. ``h2:c32:r4``."""
        labels: list[str] = []
        for number, stage in enumerate(arch.stages):
            labels += ["pool"] if number else []
            layer = f"h{arch.heads * 2**number}:c{arch.channels}:r{stage.ratio}"
            labels += [layer] * stage.depth
        return chain_graph(labels)
