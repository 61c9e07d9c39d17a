"""A package that looks like timm, with four small models, so that timm need not be installed."""

from __future__ import annotations

import fnmatch
from types import ModuleType
from typing import Any

from torch import Tensor, nn

NAMES = ("resnet18", "resnet34", "resnet50d", "vit_tiny")


class _Model(nn.Module):
    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.conv(x).relu().mean((2, 3)))
        return answer


def pretended_timm() -> ModuleType:
    """Give the package; its transformer alone takes the size of images."""
    package = ModuleType("timm")
    made: Any = package

    def create_model(
        name: str, *, num_classes: int, in_chans: int, pretrained: bool, **more: Any
    ) -> nn.Module:
        assert not pretrained
        if more and not name.startswith("vit"):
            raise TypeError("unexpected keyword argument 'img_size'")
        return _Model(4 + NAMES.index(name), in_chans, num_classes)

    made.list_models = lambda pattern: fnmatch.filter(NAMES, pattern)
    made.is_model = NAMES.__contains__
    made.create_model = create_model
    return package
