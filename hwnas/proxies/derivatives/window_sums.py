"""Sums over windows of maps: convolutions and pools whose weights are all equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Pair = tuple[int, int]
"""Rows and columns."""

# Larger maps have too many zeros in the products below.
_LARGEST = 64


def window_sums(
    maps: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> Tensor | None:
    """Sum each window of (B, 1, H, W) float64 maps, padded by zeros, to (B, 1, h, w).

    As the product ``R X C^T`` with matrices of zeros and ones, R (h, H) and C (W, w), it takes a
    tenth of the time of PyTorch's convolution and pool in float64.

    Returns:
        The sums; None where the maps are large, of another type, or not finite, since a zero times
        infinity is no zero.
    """
    size = maps.shape[2:]
    # A sum takes a fifth of the time of `isfinite`; where it overflows, the usual way is right.
    if maps.dtype != torch.float64 or max(size) > _LARGEST or not math.isfinite(maps.sum()):
        return None
    if kernel == stride == (1, 1) and padding == (0, 0):
        return maps
    rows, columns = (
        _windows(*axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return rows @ (maps @ columns.T)


def window_sizes(size: Sequence[int], kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Count the places of each window that lie within (H, W), without padding: (h, w) float64."""
    rows, columns = (
        _windows(*axis, 1).sum(dim=1) for axis in zip(size, kernel, stride, padding, strict=True)
    )
    return rows[:, None] * columns


@lru_cache(maxsize=256)
def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Give (windows, size): 1 where a place belongs to a window."""
    reach = dilation * (kernel - 1)
    count = (size + 2 * padding - reach - 1) // stride + 1
    places = torch.arange(count)[:, None] * stride - padding + torch.arange(kernel) * dilation
    return (places[..., None] == torch.arange(size)).any(dim=1).double()
