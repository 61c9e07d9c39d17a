"""The pair of layers that mobile networks are made of."""

from __future__ import annotations

from torch import nn


def conv_bn(
    c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """Give a convolution without a bias, padded so that stride 1 keeps the size, and a norm."""
    return (
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    )
