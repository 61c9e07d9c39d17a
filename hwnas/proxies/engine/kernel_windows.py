"""Which output channels of a convolution react to an input channel of ones: no convolution run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor


def kernel_edges(
    weight: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Tell where the convolution of one channel of ones is positive anywhere.

    At each position the convolution is the sum of the part of the kernel that lies in the image;
    there are as many different parts as there are ways to cut the kernel at a border, e.g. 9 for a
    3x3 kernel of stride 1.

    Args:
        weight: (C_out, C_in / groups, kernel height, kernel width).
        size: height and width of the image.
        stride: of both dimensions, as the rest.
        padding: zeros at each border.
        dilation: distance of the kernel's elements.
        groups: groups of channels.

    Returns:
        (C_in, C_out) booleans: whether output channel j is positive at some position, for an image
        whose channel i is 1 everywhere and whose other channels are 0.
    """
    rows, columns = (
        _cuts(*dimension)
        for dimension in zip(size, weight.shape[2:], stride, padding, dilation, strict=True)
    )
    windows = torch.einsum("ry,cx->rcyx", rows, columns).flatten(2).flatten(0, 1)
    sums = windows @ weight.flatten(2).flatten(0, 1).T
    positive = (sums.amax(dim=0) > 0).view(weight.shape[:2])
    if groups == 1:
        return positive.T
    edges = torch.zeros(groups, positive.shape[1], groups, len(weight) // groups, dtype=torch.bool)
    group = torch.arange(groups)
    edges[group, :, group] = torch.unflatten(positive, 0, (groups, -1)).transpose(1, 2)
    return edges.flatten(2).flatten(0, 1)


@cache
def _cuts(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Give the different (r, kernel) parts of a kernel in one dimension: 1 where it is inside."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    start = torch.arange(outputs)[:, None] * stride - padding
    position = start + torch.arange(kernel) * dilation
    inside = (position >= 0) & (position < size)
    different: Tensor = torch.unique(inside, dim=0)
    return different.float()
