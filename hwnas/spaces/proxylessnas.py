"""ProxylessNAS: a chain of 21 layers of inverted residuals by kernel and expansion, or skips.

Cai et al., ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware, ICLR 2019,
Section 4.2 and the published networks for a phone, a CPU and a GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from hwnas.errors import InvalidArchitectureError, unknown_name
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes

if TYPE_CHECKING:
    from torch import nn

SKIP = "skip"
BLOCKS = tuple(f"k{kernel}e{expansion}" for kernel in (3, 5, 7) for expansion in (3, 6))
"""Kernel and expansion of an inverted residual."""
STAGE_LAYERS, STRIDES = (4, 4, 4, 4, 4, 1), (2, 2, 2, 1, 2, 1)
FIRSTS = tuple(itertools.accumulate((0, *STAGE_LAYERS[:-1])))
"""Number of the first layer of each stage; it changes the shape, so it is never skipped."""
LAYERS = sum(STAGE_LAYERS)
OPTIONS = {f"layer_{i}": Options(BLOCKS if i in FIRSTS else (*BLOCKS, SKIP)) for i in range(LAYERS)}


class Widths(NamedTuple):
    """Channels of a network.

    Attributes:
        stem: behind the first convolution.
        first: behind the first block, which has kernel 3 and no expansion.
        stages: behind each stage.
        head: before the classifier.
    """

    stem: int
    first: int
    stages: tuple[int, ...]
    head: int


DEVICES: Mapping[str, Widths] = {
    "mobile": Widths(32, 16, (32, 40, 80, 96, 192, 320), 1280),
    "cpu": Widths(40, 24, (32, 48, 88, 104, 216, 360), 1432),
    "gpu": Widths(40, 24, (32, 56, 112, 128, 256, 432), 1728),
}
PUBLISHED: Mapping[str, str] = {
    "mobile": "k5e3,k3e3,skip,skip|k7e3,k3e3,k5e3,k5e3|k7e6,k5e3,k5e3,k5e3|k5e6,k5e3,k5e3,k5e3|"
    "k7e6,k7e6,k7e3,k7e3|k7e6",
    "cpu": "k3e6,k3e3,k3e3,k3e3|k3e6,k3e3,k3e3,k5e3|k3e6,skip,skip,k3e3|k5e6,k3e3,k3e3,k3e3|"
    "k5e6,k5e3,k5e3,k3e3|k5e6",
    "gpu": "k5e3,skip,skip,skip|k7e3,skip,skip,k3e3|k7e6,skip,skip,k5e3|k5e6,skip,k3e3,k5e3|"
    "k7e6,k7e6,k7e6,k5e6|k7e6",
}
"""The networks that the paper found for each device."""


@dataclass(frozen=True, order=True)
class ProxylessArch:
    """A chain; its text has a comma between layers and ``|`` between stages, see `PUBLISHED`.

    Attributes:
        operations: `(21,)` operation names.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != LAYERS:
            raise InvalidArchitectureError(
                f"`operations` must have {LAYERS} entries, one a layer, but got "
                f"{len(self.operations)}."
            )
        for operation, (name, options) in zip(self.operations, OPTIONS.items(), strict=True):
            if operation not in options.values:
                error = unknown_name(f"operation of {name}", operation, options.values)
                raise InvalidArchitectureError(str(error))

    def __str__(self) -> str:
        return "|".join(",".join(stage) for stage in self.stages())

    def stages(self) -> Iterator[tuple[str, ...]]:
        """Iterate over the operations of each stage."""
        layers = iter(self.operations)
        return (tuple(itertools.islice(layers, length)) for length in STAGE_LAYERS)


@dataclass(frozen=True)
class ProxylessNas(Declared[ProxylessArch]):
    """The chains of ProxylessNAS, with the channels of its network for one of three devices.

    Attributes:
        device: ``mobile``, ``cpu`` or ``gpu``; it sets the channels alone.
    """

    device: str = "mobile"
    name: str = field(default="proxylessnas", init=False, repr=False)
    facets: ClassVar[Facets] = {Counted: "hwnas.spaces.chain_counts:proxylessnas"}

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise unknown_name("device", self.device, DEVICES)

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """Operations of each layer, by ``layer_NUMBER``."""
        return OPTIONS

    def parse(self, text: str) -> ProxylessArch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        stages = tuple(tuple(part.split(",")) for part in text.split("|"))
        if tuple(map(len, stages)) != STAGE_LAYERS:
            raise InvalidArchitectureError(
                f"An architecture must have {len(STAGE_LAYERS)} stages of "
                f"{', '.join(map(str, STAGE_LAYERS))} layers, as in {PUBLISHED['mobile']!r}, but "
                f"got {text!r}."
            )
        return ProxylessArch(tuple(itertools.chain(*stages)))

    def make(self, choose: Choose) -> ProxylessArch:
        """Ask for the operation of each layer."""
        return ProxylessArch(tuple(choose(name, options) for name, options in OPTIONS.items()))

    def values(self, arch: ProxylessArch) -> Mapping[str, str]:
        """Give the operation of each layer."""
        return dict(zip(OPTIONS, arch.operations, strict=True))

    def representative(self, arch: ProxylessArch) -> ProxylessArch:
        """Move skips behind the other layers of their stage: they do nothing."""
        stages = ((first, *sorted(others, key=SKIP.__eq__)) for first, *others in arch.stages())
        return ProxylessArch(tuple(itertools.chain(*stages)))

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: ProxylessArch, task: Task | None = None) -> nn.Module:
        """Build the network: ReLU6, no activation behind a block.

        Args:
            arch: the architecture.
            task: classes of images; they are halved five times.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.proxylessnas_network import ProxylessNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return ProxylessNetwork(arch, DEVICES[self.device], classes, in_shape[0])

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        return (*BLOCKS, *(f"w{w}" for w in DEVICES[self.device].stages), "first")

    def to_graph(self, arch: ProxylessArch) -> ArchGraph:
        """Give the chain of layers without skips, e.g. ``k5e3:w32:first``."""
        stages = zip(DEVICES[self.device].stages, arch.stages(), strict=True)
        return chain_graph(
            f"{operation}:w{width}{'' if number else ':first'}"
            for width, operations in stages
            for number, operation in enumerate(operations)
            if operation != SKIP
        )
