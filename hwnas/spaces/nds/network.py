"""The network of two cells: a stem, cells in a row, and a linear classifier.

Zoph et al., CVPR 2018, Figure 2; Liu et al., DARTS, ICLR 2019, Appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.spaces.nds.genotype import INPUTS, NONE, Genotype, State, joined_states
from hwnas.spaces.nds.operations import FactorizedReduce, operation, relu_conv_bn
from hwnas.typing import InShape

SMALL_IMAGE = 64
"""Images with a shorter side below this get the stem for CIFAR."""
STEM_MULTIPLIER = 3


class CellBlock(nn.Module):
    """One cell: each state is the sum of two operations, the output joins states.

    Nothing is built for `none`. Operations on the cell's inputs have its stride.

    Attributes:
        channels: channels of the output.
    """

    def __init__(
        self,
        states: Sequence[State],
        every: bool,
        before: tuple[int, int],
        width: int,
        reduces: bool,
        halved: bool,
    ) -> None:
        super().__init__()
        first = FactorizedReduce(before[0], width) if halved else relu_conv_bn(before[0], width)
        self.inputs = nn.ModuleList([first, relu_conv_bn(before[1], width)])
        self.stride, self.joined = 2 if reduces else 1, joined_states(states, every)
        self.channels = width * len(self.joined)
        self.sources = [[t.source for t in terms if t.operation != NONE] for terms in states]
        self.operations = nn.ModuleList(
            nn.ModuleList(
                operation(t.operation, width, self.stride if t.source < INPUTS else 1)
                for t in terms
                if t.operation != NONE
            )
            for terms in states
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map the outputs of the last but one and the last cell to `(B, C, H/stride, W/stride)`."""
        values = [self.inputs[0](x), self.inputs[1](y)]
        zeros = values[1].new_zeros(values[1][:, :, :: self.stride, :: self.stride].shape)
        for sources, operations in zip(self.sources, self.operations, strict=True):
            work = zip(sources, cast(nn.ModuleList, operations), strict=True)
            terms = [operate(values[source]) for source, operate in work]
            values.append(sum(terms[1:], start=terms[0]) if terms else zeros)
        return torch.cat([values[state] for state in self.joined], dim=1)


class LargeStem(nn.Module):
    """The stem for ImageNet: three strides of two, and both inputs of the first cell."""

    def __init__(self, c_in: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.first = nn.Sequential(
            nn.Conv2d(c_in, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half),
            *relu_conv_bn(half, channels, 3, 2),
        )  # fmt: skip
        self.second = relu_conv_bn(channels, channels, 3, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to features of a fourth and of an eighth of their sides."""
        first = self.first(images)
        return first, self.second(first)


class CellsNetwork(nn.Module):
    """A network of normal and reduction cells, which double the channels."""

    def __init__(
        self,
        genotype: Genotype,
        every: bool,
        channels: int,
        reductions: Sequence[bool],
        num_classes: int,
        in_shape: InShape,
    ) -> None:
        super().__init__()
        large = min(in_shape[1:]) >= SMALL_IMAGE
        stem_channels = channels if large else STEM_MULTIPLIER * channels
        self.stem: nn.Module = (
            LargeStem(in_shape[0], channels)
            if large
            else nn.Sequential(
                nn.Conv2d(in_shape[0], stem_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(stem_channels),
            )
        )
        before, width, halved = (stem_channels, stem_channels), channels, large
        cells = []
        for reduces in reductions:
            width *= 2 if reduces else 1
            states = genotype.reduce if reduces else genotype.normal
            cells.append(CellBlock(states, every, before, width, reduces, halved))
            before, halved = (before[1], cells[-1].channels), reduces
        self.cells = nn.ModuleList(cells)
        self.classifier = nn.Linear(before[1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.stem(images)
        last, now = features if isinstance(features, tuple) else (features, features)
        for cell in self.cells:
            last, now = now, cell(last, now)
        return cast(Tensor, self.classifier(F.adaptive_avg_pool2d(now, 1).flatten(1)))
