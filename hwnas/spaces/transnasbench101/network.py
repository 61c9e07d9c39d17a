"""Networks of TransNAS-Bench-101: a stem, modules of two blocks, and the head of a task.

Duan et al., CVPR 2021, Figure 2 and Section 4; sizes as in the published code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.networks.zeros import Zeros
from hwnas.spaces.nasbench201 import Cell
from hwnas.spaces.transnasbench101.heads import PooledHead, picture_decoder, segmentation_decoder
from hwnas.tasks.task import Logits, Map, Regression, RegressionMap, Task

Block = Callable[[int, int, int], nn.Module]
"""Makes a block of (channels before it, channels behind it, stride)."""
BLOCKS = 2
"""Blocks a module; the first one changes the shape."""
TILES = 3
"""Rows and columns of a jigsaw."""


def network(task: Task, who: str, channels: int, modules: str, block: Block) -> nn.Module:
    """Build a network for a task.

    Args:
        task: what it gets and answers.
        who: name of the space, for errors.
        channels: channels behind the stem.
        modules: type of each module as a digit.
        block: makes the blocks.

    Raises:
        InvalidValueError: the task is not one of images, or no decoder makes a map of this size.
    """
    if task.input.kind != "image":
        raise InvalidValueError(f"`task` must be one of images for {who}, but got {task}.")
    c_in, height, width = task.input.shape
    backbone = Backbone(c_in, channels, modules, block)
    match task.output:
        case Logits(classes) if task.name == "jigsaw":
            if height % TILES or width % TILES:
                raise InvalidValueError(
                    f"`task` must have H and W in {TILES} parts for a jigsaw, but got {task}."
                )
            return TileNetwork(backbone, PooledHead(backbone.channels * TILES**2, classes))
        case Logits(n) | Regression(n):
            return nn.Sequential(backbone, PooledHead(backbone.channels, n))
        case Map() | RegressionMap() if height % backbone.stride or width % backbone.stride:
            raise InvalidValueError(
                f"`task` must have H and W that are multiples of {backbone.stride} for a map of "
                f"modules {modules}, but got {task}."
            )
        case Map(classes):
            decoder = segmentation_decoder(backbone.channels, classes, backbone.halvings)
            return nn.Sequential(backbone, decoder)
        case RegressionMap(targets):
            return nn.Sequential(
                backbone, picture_decoder(backbone.channels, targets, backbone.halvings)
            )
    raise InvalidValueError(f"`task` must be one of images for {who}, but got {task}.")


def relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int) -> nn.Sequential:
    """Make the convolution of cells and blocks: ReLU, convolution, batch norm."""
    return nn.Sequential(nn.ReLU(), *_conv_bn(c_in, c_out, kernel, stride))


def _conv_bn(c_in: int, c_out: int, kernel: int, stride: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(c_out)


class Backbone(nn.Sequential):
    """Maps `(B, C, H, W)` images to `(B, channels, H/stride, W/stride)` features.

    It is sequential so that proxies find the blocks in it beside a decoder.

    Attributes:
        channels: channels of the features.
        halvings: how often the image is halved.
    """

    def __init__(self, c_in: int, channels: int, modules: str, block: Block) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_conv_bn(c_in, channels // 2, 3, 2), relu_conv_bn(channels // 2, channels, 3, 2)
        )
        self.channels, self.halvings = channels, 2
        blocks: list[nn.Module] = []
        for digit in modules:
            before = self.channels
            self.channels *= 2 if digit in "24" else 1
            self.halvings += digit in "34"
            blocks.append(block(before, self.channels, 2 if digit in "34" else 1))
            blocks += [block(self.channels, self.channels, 1) for _ in range(BLOCKS - 1)]
        self.blocks = nn.Sequential(*blocks)

    @property
    def stride(self) -> int:
        """Pixels a feature."""
        return int(2**self.halvings)


class TileNetwork(nn.Module):
    """Looks at the nine tiles of an image alone, and at all of their features together."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, 3h, 3w)` images to `(B, K)` logits."""
        b, c, height, width = images.shape
        h, w = height // TILES, width // TILES
        tiles = images.reshape(b, c, TILES, h, TILES, w).permute(0, 2, 4, 1, 3, 5)
        features = self.backbone(tiles.reshape(b * TILES**2, c, h, w))  # (9B, C', h', w')
        joined = features.reshape(b, -1, *features.shape[2:])  # (B, 9C', h', w')
        return cast(Tensor, self.head(joined))


class ResidualBlock(nn.Module):
    """Two convolutions; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            relu_conv_bn(c_in, c_out, 3, stride), relu_conv_bn(c_out, c_out, 3, 1)
        )
        keeps = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if keeps else nn.Sequential(*_conv_bn(c_in, c_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        return cast(Tensor, self.shortcut(x) + self.convs(x))


class FactorizedReduce(nn.Module):
    """A skip that halves the image: two 1x1 convolutions, the second one a pixel aside."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            _conv_bn(c_in, half, 1, stride)[0] for half in (c_out // 2, c_out - c_out // 2)
        )
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        x = x.relu()
        halves = [self.convs[0](x), self.convs[1](self.pad(x)[:, :, 1:, 1:])]
        return cast(Tensor, self.bn(torch.cat(halves, dim=1)))


class CellBlock(nn.Module):
    """One cell: every node is the sum of its incoming edges; nothing is built for `none`.

    Edges out of the input change the shape. With `zeros` each `none` is a module as well.
    """

    def __init__(
        self, cell: Cell, c_in: int, c_out: int, stride: int, *, zeros: bool = False
    ) -> None:
        super().__init__()
        self.c_out, self.stride = c_out, stride
        self.nodes = nn.ModuleList(nn.ModuleDict() for _ in range(3))
        for (source, target), name in cell.edges():
            if name != "none" or zeros:
                shape = (c_out, c_out, 1) if source else (c_in, c_out, stride)
                node = cast(nn.ModuleDict, self.nodes[target - 1])
                node[str(source)] = _operation(name, *shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        values = [x]
        for node in self.nodes:
            terms = [op(values[int(s)]) for s, op in cast(nn.ModuleDict, node).items()]
            values.append(sum(terms[1:], start=terms[0]) if terms else self._zeros(x))
        return values[-1]

    def _zeros(self, x: Tensor) -> Tensor:
        b, _, height, width = x.shape
        sides = (-(-side // self.stride) for side in (height, width))
        return x.new_zeros(b, self.c_out, *sides)


def _operation(name: str, c_in: int, c_out: int, stride: int) -> nn.Module:
    match name:
        case "skip_connect":
            keeps = stride == 1 and c_in == c_out
            return nn.Identity() if keeps else FactorizedReduce(c_in, c_out, stride)
        case "nor_conv_1x1":
            return relu_conv_bn(c_in, c_out, 1, stride)
        case "nor_conv_3x3":
            return relu_conv_bn(c_in, c_out, 3, stride)
        case "none":
            return Zeros(c_out, stride)
    raise InvalidValueError(f"`name` must be an operation of TransNAS-Bench-101, but got {name!r}.")
