"""The once-for-all MobileNetV3 search space: kernels, expansions, depths and the resolution.

Cai et al., Once for All: Train One Network and Specialize it for Efficient Deployment, ICLR 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, Sequences
from hwnas.spaces.options import insist_on_choice
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
RESOLUTIONS = tuple(range(128, 225, 4))
WIDTHS = (1.0, 1.2)
STAGES = 5

_EXAMPLE = "r224|k3e3,k3e3|k5e4,k5e4|k3e6,k7e6|k3e3,k3e3,k3e3|k5e6,k5e6"


class Layer(NamedTuple):
    """The choices of one inverted residual block.

    Attributes:
        kernel: side of the depthwise kernel.
        expansion: how many times the channels before it the block has inside.
    """

    kernel: int
    expansion: int

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expansion}"


@dataclass(frozen=True, order=True)
class MobileNetV3Arch:
    """An architecture; layers beyond the depth of a stage are not part of it.

    The text is the resolution and the layers of each stage, e.g. ``r224|k3e3,k3e3|...``.

    Attributes:
        resolution: side of the image that the first convolution sees.
        stages: layers of each of the five stages, 2 to 4 of them.
    """

    resolution: int
    stages: tuple[tuple[Layer, ...], ...]

    def __post_init__(self) -> None:
        insist_on_choice("resolution", self.resolution, RESOLUTIONS)
        if len(self.stages) != STAGES:
            raise InvalidArchitectureError(
                f"`stages` must be {STAGES}, but got {len(self.stages)}; a valid architecture is "
                f"{_EXAMPLE!r}."
            )
        for number, layers in enumerate(self.stages, start=1):
            insist_on_choice(f"depth of stage {number}", len(layers), DEPTHS)
            for layer in layers:
                insist_on_choice(f"kernel in stage {number}", layer.kernel, KERNELS)
                insist_on_choice(f"expansion in stage {number}", layer.expansion, EXPANSIONS)

    def __str__(self) -> str:
        return "|".join([f"r{self.resolution}", *(",".join(map(str, s)) for s in self.stages)])


def _layer_names(stage: int, layer: int) -> tuple[str, str]:
    return f"kernel_{stage + 1}_{layer + 1}", f"expansion_{stage + 1}_{layer + 1}"


def _texts(numbers: Sequence[int]) -> Options[str]:
    return Options(tuple(map(str, numbers)))


_RESOLUTION, _DEPTH, _LAYER = (
    _texts(RESOLUTIONS),
    _texts(DEPTHS),
    (_texts(KERNELS), _texts(EXPANSIONS)),
)


@dataclass(frozen=True)
class MobileNetV3(Declared[MobileNetV3Arch]):
    """Once-for-all MobileNetV3: five stages of 2 to 4 blocks, kernels, expansions, resolution.

    Attributes:
        width: multiplier of all channels: 1.2 as in the networks that HELP measured, or 1.0.
    """

    width: float = 1.2
    name: str = field(default="mobilenetv3", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Sequences: "hwnas.spaces.sequences:MobileNetV3Sequences",
        Counted: "hwnas.spaces.chain_counts:mobilenetv3",
    }

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise InvalidValueError(
                f"`width` must be one of {', '.join(map(str, WIDTHS))}, as published, but got "
                f"{self.width}."
            )

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        sides = (f"resize{r}" for r in RESOLUTIONS)
        choices = (*(f"k{k}" for k in KERNELS), *(f"e{e}" for e in EXPANSIONS))
        return (*sides, *choices, *(f"stage{s + 1}" for s in range(STAGES)), "first")

    def parse(self, text: str) -> MobileNetV3Arch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        resolution, *stages = text.strip().split("|")
        try:
            return MobileNetV3Arch(
                int(_match(r"r([1-9]\d{0,3})", resolution)[0]),
                tuple(tuple(map(_parse_layer, stage.split(","))) for stage in stages),
            )
        except InvalidArchitectureError as error:
            raise InvalidArchitectureError(f"{error} The text was {text!r}.") from None

    def make(self, choose: Choose) -> MobileNetV3Arch:
        """Ask for ``resolution``, each ``depth_S``, and ``kernel_S_L``, ``expansion_S_L`` to it."""
        resolution = int(choose("resolution", _RESOLUTION))
        stages = []
        for stage in range(STAGES):
            depth = int(choose(f"depth_{stage + 1}", _DEPTH))
            pairs = (zip(_layer_names(stage, i), _LAYER, strict=True) for i in range(depth))
            stages.append(tuple(Layer(*(int(choose(*asked)) for asked in pair)) for pair in pairs))
        return MobileNetV3Arch(resolution, tuple(stages))

    def values(self, arch: MobileNetV3Arch) -> Mapping[str, str]:
        """Give the choices as texts: none of layers beyond the depth."""
        values: dict[str, int] = {"resolution": arch.resolution}
        for stage, layers in enumerate(arch.stages):
            values[f"depth_{stage + 1}"] = len(layers)
            for number, layer in enumerate(layers):
                values.update(zip(_layer_names(stage, number), layer, strict=True))
        return {name: str(value) for name, value in values.items()}

    def neighbours(self, arch: MobileNetV3Arch) -> Sequence[MobileNetV3Arch]:
        """List the architectures with another resolution, layer choice, or one layer more or less.

        The last layer of a stage is what comes and goes, with any choice.
        """
        found = [replace(arch, resolution=r) for r in RESOLUTIONS if r != arch.resolution]
        for number, layers in enumerate(arch.stages):
            for other in _other_stages(layers):
                stages = (*arch.stages[:number], other, *arch.stages[number + 1 :])
                found.append(replace(arch, stages=stages))
        return found

    def sample(self, rng: np.random.Generator) -> MobileNetV3Arch:
        """Draw every parameter uniformly, those of layers beyond the depth as well."""
        drawn = {name: choices[rng.integers(len(choices))] for name, choices in self._all}
        return self.decode(drawn)

    @cached_property
    def _all(self) -> Sequence[tuple[str, tuple[Choice, ...]]]:
        return tuple(self.parameters.items())

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: MobileNetV3Arch, task: Task | None = None) -> nn.Module:
        """Build the network of the architecture as a plain one, without weights of a supernet.

        Args:
            arch: the architecture.
            task: classes of images. An image of another size than the architecture's
                resolution is resized first, bilinearly.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.mobilenetv3_network import MobileNetV3Network

        num_classes, in_shape = image_classes(task or self.default_task, self.name)
        return MobileNetV3Network(arch, self.width, num_classes, in_shape)

    def to_graph(self, arch: MobileNetV3Arch) -> ArchGraph:
        """Give the chain of blocks after the resolution, labelled e.g. ``k5:e3:stage2:first``."""
        blocks = [
            f"k{layer.kernel}:e{layer.expansion}:stage{stage}{'' if number else ':first'}"
            for stage, layers in enumerate(arch.stages, start=1)
            for number, layer in enumerate(layers)
        ]
        return chain_graph([f"resize{arch.resolution}", *blocks])


_ALL_LAYERS = tuple(Layer(k, e) for k in KERNELS for e in EXPANSIONS)


def _other_stages(layers: tuple[Layer, ...]) -> list[tuple[Layer, ...]]:
    """Give the stages with one choice changed, one layer added or one taken away."""
    changed = [
        (*layers[:i], other, *layers[i + 1 :])
        for i, layer in enumerate(layers)
        for other in _ALL_LAYERS
        if (other.kernel == layer.kernel) != (other.expansion == layer.expansion)
    ]
    longer = [(*layers, more) for more in _ALL_LAYERS] if len(layers) < max(DEPTHS) else []
    shorter = [layers[:-1]] if len(layers) > min(DEPTHS) else []
    return [*changed, *longer, *shorter]


def _match(pattern: str, text: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, text.strip(), re.ASCII)
    if found is None:
        raise InvalidArchitectureError(
            f"Each part of an architecture must be as in {str(_EXAMPLE)!r}, but got {text!r}."
        )
    return found.groups()


def _parse_layer(text: str) -> Layer:
    kernel, expansion = _match(r"k(\d)e(\d)", text)
    return Layer(int(kernel), int(expansion))
