"""AutoFormer: vision transformers whose width, depth, heads and expansions are searched.

Chen et al., AutoFormer: Searching Transformers for Visual Recognition, ICCV 2021, Table 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hwnas.errors import InvalidArchitectureError, InvalidValueError, unknown_name
from hwnas.graphs.arch_graph import ArchGraph, chain_graph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Counted, Facets, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice, InShape

if TYPE_CHECKING:
    from torch import nn

PATCH = 16
"""Side of a patch."""
_EXAMPLE = "192|h3r4,h3r3.5,..."


class Layer(NamedTuple):
    """One encoder layer.

    Attributes:
        heads: attention heads of 64 channels each.
        ratio: channels inside the perceptron, as a multiple of the width.
    """

    heads: int
    ratio: float

    def __str__(self) -> str:
        return f"h{self.heads}r{self.ratio:g}"


class Setting(NamedTuple):
    """What one size of the space chooses from; all are ordered.

    Attributes:
        widths: channels of every token.
        depths: numbers of layers.
        heads: heads of a layer.
        ratios: expansions of a layer.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]


SETTINGS: Mapping[str, Setting] = {
    "tiny": Setting((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4.0)),
    "small": Setting((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0)),
    "base": Setting((528, 576, 624), (14, 15, 16), (8, 9, 10), (3.0, 3.5, 4.0)),
}


@dataclass(frozen=True, order=True)
class AutoFormerArch:
    """A transformer; its text is the width and the layers, e.g. ``192|h3r4,h4r3.5,...``.

    Attributes:
        width: channels of every token.
        layers: the encoder layers.
    """

    width: int
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return f"{self.width}|{','.join(map(str, self.layers))}"


@dataclass(frozen=True)
class AutoFormer(Declared[AutoFormerArch]):
    """Vision transformers of 16 × 16 patches with relative positions; no two are equal networks.

    Spaces of equal settings are equal.

    Attributes:
        size: ``tiny``, ``small`` or ``base``.
    """

    size: str = "tiny"
    name: str = field(default="autoformer", init=False, repr=False)
    facets: ClassVar[Facets] = {
        Counted: "hwnas.spaces.transformer_counts:autoformer",
        Truth: "hwnas.data.autoformer:TrainedTransformers",
    }

    def __post_init__(self) -> None:
        if self.size not in SETTINGS:
            raise unknown_name("size", self.size, SETTINGS)

    @property
    def setting(self) -> Setting:
        """What is chosen from."""
        return SETTINGS[self.size]

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``width``, ``depth``, and ``heads_N`` and ``ratio_N`` of each layer that can exist."""
        return _options(self.setting)

    def parse(self, text: str) -> AutoFormerArch:
        """Read the text; `InvalidArchitectureError` names what is wrong."""
        width, bar, layers = text.strip().partition("|")
        form = r"h([1-9]\d?)r([1-9](?:\.[1-9])?)"
        found = [re.fullmatch(form, part, re.ASCII) for part in layers.split(",")]
        if not (bar and re.fullmatch(r"[1-9]\d{0,3}", width, re.ASCII)) or None in found:
            raise InvalidArchitectureError(
                f"An architecture must be its width and layers, e.g. {_EXAMPLE!r}, but got "
                f"{text!r}."
            )
        read = (Layer(int(part[1]), float(part[2])) for part in found if part is not None)
        arch = AutoFormerArch(int(width), tuple(read))
        self._check(arch)
        return arch

    def make(self, choose: Choose) -> AutoFormerArch:
        """Ask for width and depth, and for heads and ratio of each layer that exists."""
        options = self.options
        width, depth = (choose(name, options[name]) for name in ("width", "depth"))
        layers = [
            Layer(*(choose(f"{part}_{i}", options[f"{part}_{i}"]) for part in ("heads", "ratio")))
            for i in range(1, depth + 1)
        ]
        return AutoFormerArch(width, tuple(layers))

    def values(self, arch: AutoFormerArch) -> Mapping[str, Choice]:
        """Give width, depth, and heads and ratio of each layer."""
        found: dict[str, Choice] = {"width": arch.width, "depth": len(arch.layers)}
        for i, layer in enumerate(arch.layers, start=1):
            found |= {f"heads_{i}": layer.heads, f"ratio_{i}": layer.ratio}
        return found

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: AutoFormerArch, task: Task | None = None) -> nn.Module:
        """Build the network as a plain one, without weights of a supernet.

        Args:
            arch: the architecture.
            task: classes of images; their H and W must be multiples of 16.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.autoformer_network import AutoFormerNetwork

        self._check(arch)
        classes, in_shape = image_classes(task or self.default_task, self.name)
        return AutoFormerNetwork(arch, classes, in_shape)

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        s = self.setting
        parts = ("attention", *(f"h{n}" for n in s.heads), "mlp", *(f"r{r:g}" for r in s.ratios))
        return (*parts, *(f"w{width}" for width in s.widths))

    def to_graph(self, arch: AutoFormerArch) -> ArchGraph:
        """Give the chain of attentions and perceptrons, e.g. ``attention:h3:w192``."""
        return chain_graph(
            label
            for layer in arch.layers
            for label in (
                f"attention:h{layer.heads}:w{arch.width}",
                f"mlp:r{layer.ratio:g}:w{arch.width}",
            )
        )

    def _check(self, arch: AutoFormerArch) -> None:
        s = self.setting
        chosen = [("width", arch.width, s.widths), ("depth", len(arch.layers), s.depths)]
        for i, layer in enumerate(arch.layers, start=1):
            chosen += [(f"heads of layer {i}", layer.heads, s.heads)]
            chosen += [(f"ratio of layer {i}", layer.ratio, s.ratios)]  # type: ignore[list-item]
        for what, value, allowed in chosen:
            if value not in allowed:
                raise InvalidArchitectureError(
                    f"`{what}` must be one of {', '.join(f'{a:g}' for a in allowed)} in "
                    f"autoformer:size={self.size}, but got {value:g}."
                )


def patches_of(in_shape: InShape) -> tuple[int, int]:
    """Give the rows and columns of patches of an image (C, H, W).

    Raises:
        InvalidValueError: it is not made of whole patches.
    """
    _, height, width = in_shape
    if height % PATCH or width % PATCH:
        raise InvalidValueError(
            f"`task` must have H and W that are multiples of {PATCH}, the side of a patch, but got "
            f"{height} and {width}."
        )
    return height // PATCH, width // PATCH


@cache
def _options(setting: Setting) -> Mapping[str, Options[Any]]:
    """Make them once: every architecture asks for most of them."""
    found: dict[str, Options[Any]] = {
        "width": Options(setting.widths, ordered=True),
        "depth": Options(setting.depths, ordered=True),
    }
    for i in range(1, max(setting.depths) + 1):
        found[f"heads_{i}"] = Options(setting.heads, ordered=True)
        found[f"ratio_{i}"] = Options(setting.ratios, ordered=True)
    return found
