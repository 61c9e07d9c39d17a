"""Sums over windows of maps: convolutions and pools whose weights are all equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Pair = tuple[int, int]
"""Rows and columns."""

# Larger maps have too many zeros in products.
_LARGEST = 64


def window_sums(
    maps: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> Tensor:
    """Sum each window of (B, C, H, W) maps, padded by zeros, to (B, C, h, w).

    As the product ``R X C^T`` with matrices of zeros and ones, R (h, H) and C (W, w), it takes a
    tenth of the time of PyTorch's convolution and pool in float64. Places of large maps are added
    tap by tap, and of those that are not finite, since a zero times infinity is no zero.

    Example:
        >>> window_sums(torch.ones(1, 1, 3, 3), (2, 2), (1, 1), (0, 0))[0, 0].tolist()
        [[4.0, 4.0], [4.0, 4.0]]
    """
    if kernel == stride == (1, 1) and padding == (0, 0):
        return maps
    axes = zip(maps.shape[2:], kernel, stride, padding, dilation, strict=True)
    # A sum takes a fifth of the time of `isfinite`; where it overflows, the other way is right.
    small = maps.dtype == torch.float64 and max(maps.shape[2:]) <= _LARGEST
    if small and math.isfinite(maps.sum()):
        rows, columns = (_windows(*axis) for axis in axes)
        return rows @ (maps @ columns.T)
    for axis, window in zip((2, 3), axes, strict=True):
        maps = _sums(maps, axis, *window)
    return maps


def window_sizes(size: Sequence[int], kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Count the places of each window that lie within (H, W), without padding: (h, w) float64.

    Example:
        >>> window_sizes((3, 1), (2, 1), (1, 1), (1, 0)).flatten().tolist()
        [1.0, 2.0, 2.0, 1.0]
    """
    rows, columns = (
        _windows(*axis, 1).sum(dim=1) for axis in zip(size, kernel, stride, padding, strict=True)
    )
    return rows[:, None] * columns


@lru_cache(maxsize=256)
def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Give (windows, size): 1 where a place belongs to a window."""
    # Later networks get it too: nothing that this one has set may stay with it.
    with torch.inference_mode(False):
        count = _count(size, kernel, stride, padding, dilation)
        window, tap, place = (torch.arange(n, device="cpu") for n in (count, kernel, size))
        places = window[:, None] * stride - padding + tap * dilation
        return (places[..., None] == place).any(dim=1).double()


def _sums(
    maps: Tensor, axis: int, size: int, kernel: int, stride: int, padding: int, dilation: int
) -> Tensor:
    """Add up along an axis what lies under each tap of the windows, where it is no padding."""
    shape = list(maps.shape)
    shape[axis] = count = _count(size, kernel, stride, padding, dilation)
    sums = maps.new_zeros(shape)
    for tap in range(kernel):
        place = tap * dilation - padding  # of the first window's tap
        first, last = max(0, -(place // stride)), min(count - 1, (size - 1 - place) // stride)
        if first <= last:
            start, stop = place + first * stride, place + last * stride + 1
            read = maps.movedim(axis, 0)[start:stop:stride].movedim(0, axis)
            sums.narrow(axis, first, last - first + 1).add_(read)
    return sums


def _count(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
