"""Normal numbers for weights, in the order of their memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Fewest numbers of a contiguous tensor that PyTorch draws together.
_TOGETHER = 16


class NormalDraws:
    """Fills tensors one after another as `Tensor.normal_` does with one generator.

    PyTorch draws the numbers of a tensor that is not contiguous, e.g. of a weight in the
    `channels_last` layout, one by one. Here they are computed together, in a fraction of the time:
    the same numbers but for rounding.

    Args:
        seed: of the generator.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._left = torch.empty(0, dtype=torch.float64)

    def fill_(self, tensor: Tensor, deviation: float) -> None:
        """Draw N(0, deviation^2) numbers for a tensor on the CPU."""
        if tensor.is_contiguous() and tensor.numel() >= _TOGETHER:
            tensor.normal_(0, deviation, generator=self._generator)
            return
        memory = tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))
        memory.copy_(self._numbers(tensor.numel()).mul_(deviation).view(memory.shape))

    def _numbers(self, count: int) -> Tensor:
        """Draw pairs by the method of Box and Muller; an odd one is kept for the next tensor."""
        kept = len(self._left)
        pairs = math.ceil((count - kept) / 2)
        bits = torch.empty(pairs, 2, dtype=torch.int64).random_(generator=self._generator)
        # (2, pairs) in [0, 1): the lowest 53 bits. Neither `contiguous` nor `stack` here: both take
        # several times as long with two columns.
        units = torch.empty(2, pairs, dtype=torch.float64).copy_(bits.bitwise_and_(2**53 - 1).T)
        turn, height = units.mul_(2.0**-53)
        angle, radius = turn * (2 * math.pi), height.neg_().log1p_().mul_(-2).sqrt_()
        numbers = torch.empty(kept + 2 * pairs, dtype=torch.float64)
        numbers[:kept] = self._left
        torch.mul(radius, angle.cos(), out=numbers[kept::2])
        torch.mul(radius, angle.sin(), out=numbers[kept + 1 :: 2])
        self._left = numbers[count:].clone()
        return numbers[:count]
