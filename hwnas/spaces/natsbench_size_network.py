"""The network of NATS-Bench's size space (Dong et al., TPAMI 2021)."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.spaces.nasbench201 import parse_cell
from hwnas.spaces.nasbench201.network import CellBlock, ReductionBlock
from hwnas.spaces.natsbench_size import CELL, LAYERS, SizeArch, check_sides
from hwnas.typing import InShape


class SizedNetwork(nn.Module):
    """Stem, five layers of their own channels each, and a linear classifier."""

    def __init__(self, arch: SizeArch, num_classes: int, in_shape: InShape) -> None:
        super().__init__()
        check_sides(in_shape)
        before = arch.channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_shape[0], before, 3, padding=1, bias=False), nn.BatchNorm2d(before)
        )
        cell, layers = parse_cell(CELL), list[nn.Module]()
        for layer, channels in zip(LAYERS, arch.channels, strict=True):
            if layer == "cell":
                layers.append(CellBlock(cell, channels, before))
            else:
                layers.append(ReductionBlock(before, channels))
            before = channels
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.head(self.layers(self.stem(images)))
        return cast(Tensor, self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1)))
