"""The operations of the five families, each with its stride (Radosavovic et al., ICCV 2019)."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError

SKIP = "skip_connect"
_FORM = re.compile(r"([a-z_]+?)_(\d)x(\d)(?:_\3x\2)?")


def relu_conv_bn(c_in: int, c_out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Make a ReLU, a convolution and a batch norm."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c_out))


class FactorizedReduce(nn.Module):
    """Halves the image by two 1x1 convolutions, the second one a pixel aside."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False) for _ in range(2))
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/2, W/2)`, sides rounded up."""
        x = x.relu()
        halves = [self.convs[0](x), self.convs[1](self.pad(x)[:, :, 1:, 1:])]
        out: Tensor = self.bn(torch.cat(halves, dim=1))
        return out


def _depthwise(channels: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    """Make a ReLU, a depthwise and a 1x1 convolution and a batch norm."""
    padding = kernel // 2 * dilation
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def _row_and_column(channels: int, kernel: int, stride: int) -> nn.Sequential:
    half = kernel // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, half), bias=False),
        nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (half, 0), bias=False),
        nn.BatchNorm2d(channels),
    )


def kind_of(name: str) -> tuple[str, int, bool]:
    """Give kind, kernel size and whether the kernel is square, of an operation that is no skip."""
    found = _FORM.fullmatch(name)
    return (found[1], int(found[2]), found[2] == found[3]) if found else ("", 0, False)


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """Make an operation that keeps the channels.

    Raises:
        InvalidValueError: there is no such operation.
    """
    if name == SKIP:
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    kind, kernel, square = kind_of(name)
    match kind:
        case "avg_pool":
            return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
        case "max_pool":
            return nn.MaxPool2d(kernel, stride, kernel // 2)
        case "sep_conv":
            first = _depthwise(channels, kernel, stride, 1)
            return nn.Sequential(*first, *_depthwise(channels, kernel, 1, 1))
        case "dil_conv":
            return nn.Sequential(*_depthwise(channels, kernel, stride, 2))
        case "dil_sep_conv":
            first = _depthwise(channels, kernel, stride, 2)
            return nn.Sequential(*first, *_depthwise(channels, kernel, 1, 2))
        case "conv" if square:
            return relu_conv_bn(channels, channels, kernel, stride)
        case "conv":
            return _row_and_column(channels, kernel, stride)
    raise InvalidValueError(f"`name` must be an operation of a cell, but got {name!r}.")
