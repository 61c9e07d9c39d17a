"""The FBNet search space: a chain of 22 layers with nine operations each.

Wu et al., FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
Search, CVPR 2019, with the sizes for ImageNet and CIFAR of HW-NAS-Bench (Li et al., ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from hwnas.errors import InvalidArchitectureError, unknown_name
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, Sequences
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import InShape

if TYPE_CHECKING:
    from torch import nn

SKIP = "skip"
OPERATIONS = (
    "k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", SKIP
)  # fmt: skip
"""Kernel size, expansion and groups of an inverted residual block, in the published order."""
STAGE_CHANNELS = (16, 24, 32, 64, 112, 184, 352)
STAGE_LAYERS = (1, 4, 4, 4, 4, 4, 1)
STEM_CHANNELS = 16
SMALL_IMAGE = 64
"""Images with a shorter side below this get the network for CIFAR."""


@dataclass(frozen=True)
class Setting:
    """What differs between the networks for small and for large images.

    Attributes:
        stem_stride: stride of the first convolution.
        strides: stride of the first layer of each stage.
        header_channels: channels of the last convolution.
    """

    stem_stride: int
    strides: tuple[int, ...]
    header_channels: int


CIFAR = Setting(1, (1, 1, 2, 2, 1, 2, 1), 1504)
IMAGENET = Setting(2, (1, 2, 2, 2, 1, 2, 1), 1984)


def setting_for(in_shape: InShape) -> Setting:
    """Choose the network by the shorter side of the image."""
    return CIFAR if min(in_shape[1:]) < SMALL_IMAGE else IMAGENET


class Position(NamedTuple):
    """Where a layer stands.

    Attributes:
        stage: number of its stage, from 0.
        first: whether it is the first of its stage, which has the stage's stride.
        c_in: channels before it.
        c_out: channels after it.
    """

    stage: int
    first: bool
    c_in: int
    c_out: int

    @property
    def keeps_shape(self) -> bool:
        """Whether a skip is an identity here; where channels are equal, the stride is 1."""
        return self.c_in == self.c_out


def _positions() -> Iterator[Position]:
    c_in = STEM_CHANNELS
    for stage, (c_out, layers) in enumerate(zip(STAGE_CHANNELS, STAGE_LAYERS, strict=True)):
        for layer in range(layers):
            yield Position(stage, layer == 0, c_in, c_out)
            c_in = c_out


POSITIONS = tuple(_positions())
OPTIONS = {f"layer_{i}": Options(OPERATIONS) for i in range(len(POSITIONS))}


@dataclass(frozen=True, order=True)
class FBNetArch:
    """An architecture; its text is its operations with commas, e.g. ``k3_e1,skip,k5_e6,...``.

    Attributes:
        operations: `(22,)` operation names.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != len(POSITIONS):
            raise InvalidArchitectureError(
                f"`operations` must have {len(POSITIONS)} entries, one a layer, but got "
                f"{len(self.operations)}."
            )
        for layer, operation in enumerate(self.operations):
            if operation not in OPERATIONS:
                error = unknown_name(f"operation of layer {layer}", operation, OPERATIONS)
                raise InvalidArchitectureError(str(error))

    def __str__(self) -> str:
        return ",".join(self.operations)


@dataclass(frozen=True)
class FBNet(Declared[FBNetArch]):
    """FBNet: 22 layers, each an inverted residual block or a skip; 9^22 architectures.

    A skip is an identity where the layer keeps its input's shape, and else a 1x1 convolution with
    the stride of the layer, batch norm and ReLU.
    """

    name: str = field(default="fbnet", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Sequences: "hwnas.spaces.sequences:FBNetSequences",
        Counted: "hwnas.spaces.chain_counts:fbnet",
    }

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """Operations of each layer, by ``layer_NUMBER``."""
        return OPTIONS

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        shapes = dict.fromkeys(_shape(position) for position in POSITIONS)
        return (*OPERATIONS, *shapes)

    def parse(self, text: str) -> FBNetArch:
        """Read operations with commas; `InvalidArchitectureError` names what is wrong."""
        return FBNetArch(tuple(part.strip() for part in text.split(",")))

    def make(self, choose: Choose) -> FBNetArch:
        """Ask for the operation of each layer."""
        return FBNetArch(tuple(choose(name, options) for name, options in OPTIONS.items()))

    def values(self, arch: FBNetArch) -> Mapping[str, str]:
        """Give the operation of each layer."""
        return dict(zip(OPTIONS, arch.operations, strict=True))

    def representative(self, arch: FBNetArch) -> FBNetArch:
        """Move identities behind the other layers of the same shape, which all follow each other.

        The first layer of a stage changes the number of channels, save in the first stage, which
        has no second layer: so equal networks are equal after this.
        """
        operations: list[str] = []
        for stage in range(len(STAGE_LAYERS)):
            layers = [
                o for p, o in zip(POSITIONS, arch.operations, strict=True) if p.stage == stage
            ]
            operations += [layers[0], *sorted(layers[1:], key=SKIP.__eq__)]
        return FBNetArch(tuple(operations))

    def neighbours(self, arch: FBNetArch) -> Sequence[FBNetArch]:
        """List the 176 architectures that differ in one operation."""
        return [
            FBNetArch((*arch.operations[:i], other, *arch.operations[i + 1 :]))
            for i, operation in enumerate(arch.operations)
            for other in OPERATIONS
            if other != operation
        ]

    def sample(self, rng: np.random.Generator) -> FBNetArch:
        """Draw the operation of each layer uniformly."""
        return FBNetArch(
            tuple(OPERATIONS[i] for i in rng.integers(len(OPERATIONS), size=len(POSITIONS)))
        )

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: FBNetArch, task: Task | None = None) -> nn.Module:
        """Build the network of HW-NAS-Bench.

        Args:
            arch: the architecture.
            task: classes of images. With a side below 64 the network is that for CIFAR:
                strides 1 in the stem and 1, 1, 2, 2, 1, 2, 1 in the stages, 1,504 channels at the
                end. Else it is that for ImageNet: 2 and 1, 2, 2, 2, 1, 2, 1, and 1,984.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.fbnet_network import FBNetNetwork

        return FBNetNetwork(arch, *image_classes(task or self.default_task, self.name))

    def to_graph(self, arch: FBNetArch) -> ArchGraph:
        """Give the chain of layers without identities, labelled e.g. ``k3_e6:16>24``."""
        layers = zip(POSITIONS, arch.operations, strict=True)
        return chain_graph(
            f"{o}:{_shape(p)}" for p, o in layers if not (o == SKIP and p.keeps_shape)
        )


def _shape(position: Position) -> str:
    return f"{position.c_in}>{position.c_out}"
