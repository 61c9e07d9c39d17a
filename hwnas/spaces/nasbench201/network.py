"""The network of a NAS-Bench-201 cell (Dong and Yang, ICLR 2020, Figure 1)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.networks.zeros import Zeros
from hwnas.spaces.nasbench201 import Cell
from hwnas.typing import InShape


def _relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    )


def _operation(name: str, c_in: int, c_out: int) -> nn.Module:
    match name:
        case "skip_connect" if c_in == c_out:
            return nn.Identity()
        case "skip_connect":
            return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        case "nor_conv_1x1":
            return _relu_conv_bn(c_in, c_out, 1)
        case "nor_conv_3x3":
            return _relu_conv_bn(c_in, c_out, 3)
        case "none":
            return Zeros(c_out)
    raise InvalidValueError(f"`name` must be a NAS-Bench-201 operation, but got {name!r}.")


class CellBlock(nn.Module):
    """One cell: every node is the sum of its incoming edges; nothing is built for `none`.

    Edges out of the input change the channels, where `c_in` says that there are others before it;
    a pool does not. With `zeros` each `none` is a module as well.
    """

    def __init__(
        self, cell: Cell, channels: int, c_in: int | None = None, *, zeros: bool = False
    ) -> None:
        super().__init__()
        before = channels if c_in is None else c_in
        self.nodes = nn.ModuleList(nn.ModuleDict() for _ in range(3))
        for (source, target), name in cell.edges():
            if name != "none" or zeros:
                node = cast(nn.ModuleDict, self.nodes[target - 1])
                node[str(source)] = _operation(name, channels if source else before, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C, H, W)`."""
        values = [x]
        for node in self.nodes:
            terms = [op(values[int(s)]) for s, op in cast(nn.ModuleDict, node).items()]
            values.append(sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(x))
        return values[-1]


class ReductionBlock(nn.Module):
    """The residual block of stride 2 between stages; its shortcut has no batch norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = _relu_conv_bn(c_in, c_out, 3, stride=2)
        self.conv_b = _relu_conv_bn(c_out, c_out, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/2, W/2)`."""
        residual: Tensor = self.downsample(x)
        return residual + cast(Tensor, self.conv_b(self.conv_a(x)))


class CellNetwork(nn.Module):
    """Stem, three stages of N cells at C, 2C and 4C channels, and a linear classifier.

    `build_surrogate` has other numbers of stages, networks without a stem, and modules of zeros.
    """

    def __init__(
        self,
        cell: Cell,
        channels: int,
        cells: int,
        num_classes: int,
        in_shape: InShape,
        *,
        stages: int = 3,
        stem: bool = True,
        zeros: bool = False,
    ) -> None:
        super().__init__()
        c_in, height, width = in_shape
        scale = 2 ** (stages - 1)
        if height % scale or width % scale:
            raise InvalidValueError(
                f"`in_shape` must be (C, H, W) with H and W positive multiples of {scale}, since "
                f"{stages - 1} blocks halve the image, but got {in_shape}."
            )
        if not stem and c_in != channels:
            raise InvalidValueError(
                f"`channels` must be those of the image without a stem, but got {channels} for "
                f"{in_shape}."
            )
        layers = (nn.Conv2d(c_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.stem = nn.Sequential(*(layers if stem else ()))
        blocks: list[nn.Module] = []
        for stage in range(stages):
            width_now = channels * 2**stage
            if stage:
                blocks.append(ReductionBlock(width_now // 2, width_now))
            blocks += [CellBlock(cell, width_now, zeros=zeros) for _ in range(cells)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.BatchNorm2d(width_now), nn.ReLU())
        self.classifier = nn.Linear(width_now, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.head(self.blocks(self.stem(images)))
        return cast(Tensor, self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1)))
