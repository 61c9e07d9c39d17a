"""Kinds of networks for tests of proxies, and the parts that many of them share.

All map 3x8x8 images to 3 logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune as _prune

SHAPE = (3, 8, 8)
prune: Any = _prune  # it has no types
CLASSES = 3
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Kind:
    """A network of the zoo.

    Attributes:
        build: makes it.
        plain: makes a network that has the same scores; `build` where it is plain itself.
        sentences: parts of the one sentence that some proxies give.
        own: proxies that see the difference to the plain network, e.g. count its maps.
        refused: part of the one sentence for all proxies, where it cannot be scored.
        random: whether it draws random numbers in training mode.
    """

    build: Build
    plain: Build
    sentences: Mapping[str, str] = field(default_factory=dict)
    own: Collection[str] = ()
    refused: str = ""
    random: bool = False


def add(
    kinds: dict[str, Kind], name: str, build: Build, plain: Build | None = None, **settings: Any
) -> None:
    """Add a kind; `plain` is the same as `build` where it is left out."""
    assert name not in kinds
    seeded = seeded_build(build)
    kinds[name] = Kind(seeded, seeded if plain is None else seeded_build(plain), **settings)


def seeded_build(build: Build) -> Build:
    @functools.wraps(build)
    def seeded() -> nn.Module:
        torch.manual_seed(3)
        return build()

    return seeded


class Function(nn.Module):
    """A module of a function and of the modules that it gets first."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Any:
        return self.function(*self.parts, x)


def head(channels: int = 6) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def conv(c_in: int, c_out: int = 6, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, **settings)


def cnn(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    layers = [conv(3), norm(6), nn.ReLU(), conv(6), norm(6), nn.ReLU()]
    return nn.Sequential(*layers, *head())


def weight_only() -> nn.Sequential:
    return nn.Sequential(conv(3), nn.ReLU(), conv(6), nn.ReLU(), *head())


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = conv(c_in, c_out, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Stages(nn.Module):
    """Blocks, of which some may run in a way of their own."""

    def __init__(
        self, run: Callable[..., Any] = lambda block, x: block(x), output: str = "logits"
    ) -> None:
        super().__init__()
        self.stem, self.stage1, self.stage2 = Block(3, 6, 1), Block(6, 6, 1), Block(6, 8, 2)
        self.fc = nn.Linear(8, CLASSES)
        self.run, self.output = run, output

    def forward(self, x: Tensor) -> Any:
        maps: Tensor = self.run(self.stage2, self.run(self.stage1, self.stem(x)))
        features = maps.mean(dim=(2, 3))
        logits: Tensor = self.fc(features)
        if self.output == "tuple":
            return features, logits
        return {"logits": logits} if self.output == "dict" else logits
