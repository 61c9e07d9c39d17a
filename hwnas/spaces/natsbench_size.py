"""The size space of NATS-Bench: the channels of five layers around one cell of NAS-Bench-201.

Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, TPAMI 2021,
Section 3.2.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, RankFigures, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import InShape

if TYPE_CHECKING:
    from torch import nn

CHANNELS = tuple(range(8, 65, 8))
LAYERS = ("cell", "reduction", "cell", "reduction", "cell")
"""What each layer is: a cell, or the residual block that halves the image."""
CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
"""The cell of every network: the best one on CIFAR-100 in the topology space."""
OPTIONS = {f"channels_{i}": Options(CHANNELS, ordered=True) for i in range(len(LAYERS))}
_SCALE = 2 ** LAYERS.count("reduction")


def check_sides(in_shape: InShape) -> None:
    """Refuse images that two blocks cannot halve with `InvalidValueError`."""
    if in_shape[1] % _SCALE or in_shape[2] % _SCALE:
        raise InvalidValueError(
            f"`in_shape` must be (C, H, W) with H and W positive multiples of {_SCALE}, since two "
            f"blocks halve the image, but got {in_shape}."
        )


@dataclass(frozen=True, order=True)
class SizeArch:
    """Channels behind each layer; its text is the benchmark's, e.g. ``8:16:32:48:64``.

    Attributes:
        channels: `(5,)` channels behind each layer; the stem has those of the first one.
    """

    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.channels) != len(LAYERS) or not set(self.channels) <= set(CHANNELS):
            raise InvalidArchitectureError(
                f"`channels` must be {len(LAYERS)} of {', '.join(map(str, CHANNELS))}, as in "
                f"'8:16:32:48:64', but got {str(self)!r}."
            )

    def __str__(self) -> str:
        return ":".join(map(str, self.channels))


@dataclass(frozen=True)
class NatsBenchSize(Declared[SizeArch]):
    """The 32,768 networks of the size space; no two of them are equal."""

    name: str = field(default="natsbench-size", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Counted: "hwnas.spaces.chain_counts:natsbench_size",
        Truth: "hwnas.data.natsbench_size:SizeAccuracies",
        RankFigures: "hwnas.data.natsbench_size:SizeFigures",
    }

    @property
    def options(self) -> Mapping[str, Options[int]]:
        """Channels of each layer, by ``channels_NUMBER``."""
        return OPTIONS

    def __len__(self) -> int:
        return int(len(CHANNELS) ** len(LAYERS))

    def __iter__(self) -> Iterator[SizeArch]:
        """Iterate with the last layer fastest."""
        return map(SizeArch, itertools.product(CHANNELS, repeat=len(LAYERS)))

    def parse(self, text: str) -> SizeArch:
        """Read numbers with colons; `InvalidArchitectureError` says what is wrong."""
        if re.fullmatch(r"[1-9]\d?(:[1-9]\d?){4}", text, re.ASCII) is None:
            raise InvalidArchitectureError(
                f"An architecture must be {len(LAYERS)} numbers of channels, as in "
                f"'8:16:32:48:64', but got {text!r}."
            )
        return SizeArch(tuple(map(int, text.split(":"))))

    def make(self, choose: Choose) -> SizeArch:
        """Ask for the channels of each layer."""
        return SizeArch(tuple(choose(name, options) for name, options in OPTIONS.items()))

    def values(self, arch: SizeArch) -> Mapping[str, int]:
        """Give the channels of each layer."""
        return dict(zip(OPTIONS, arch.channels, strict=True))

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: SizeArch, task: Task | None = None) -> nn.Module:
        """Build the network of the benchmark.

        Args:
            arch: the architecture.
            task: classes of images; their H and W must be multiples of 4.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.natsbench_size_network import SizedNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return SizedNetwork(arch, classes, in_shape)

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        return (*dict.fromkeys(LAYERS), *(f"c{channels}" for channels in CHANNELS))

    def to_graph(self, arch: SizeArch) -> ArchGraph:
        """Give the chain of layers, e.g. ``cell:c16``."""
        return chain_graph(
            f"{layer}:c{channels}" for layer, channels in zip(LAYERS, arch.channels, strict=True)
        )
