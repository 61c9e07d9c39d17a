"""Shortcuts to the derivative by one element of a parameter: which functions have one, and which.

Where the output y of a function depends on element e of a parameter through one channel only,
``dy[:, channel, ...]/de = factor``, the derivative of a loss of image n by e is the sum over
positions of ``delta[n, channel, ...] * factor[n, ...]``, delta being the gradient at y. Neither
weight gradients nor per-image passes are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.parameter_uses import ParameterUses
from hwnas.proxies.derivatives.running_norm import running_batch_norm

Size = int | tuple[int, ...]

# Numbers of gradients that are held until they are reduced together: 16 MiB.
_HELD = 2**22


@dataclass(frozen=True)
class Tap:
    """The derivative of a function's output (B, C, ...) by one element of a parameter.

    Attributes:
        channel: the one channel of the output that depends on the element.
        factor: (B, ...) derivative there, or None where it is 1.
    """

    channel: int
    factor: Tensor | None = None

    def __call__(self, deltas: Tensor) -> Tensor:
        """Give the (n, B) derivatives of n losses of each image, from their gradients (n, B, ...).

        Args:
            deltas: gradients at the output's channel.
        """
        products = deltas if self.factor is None else deltas * self.factor
        return products.flatten(2).sum(dim=2) if products.ndim > 2 else products


Taps = list[tuple[Tensor | None, Callable[[int], Tap]]]
"""For each parameter of a call, what makes the tap of the element with a flat index."""


def conv2d_taps(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Taps:
    """Weight (C_out, C_in / groups, k, k) meets the input that lies under it; bias has factor 1."""
    (row_step, column_step), (row_gap, column_gap) = pair(stride), pair(dilation)
    left, right, top, bottom = sides = padding_sides(padding, weight, dilation)
    rows_read = row_gap * (weight.shape[2] - 1) + 1
    columns_read = column_gap * (weight.shape[3] - 1) + 1
    height = (input.shape[2] + top + bottom - rows_read) // row_step + 1
    width = (input.shape[3] + left + right - columns_read) // column_step + 1
    outputs_a_group = weight.shape[0] // groups

    def weight_tap(index: int) -> Tap:
        c_out, c_in, row, column = _unravel(index, weight)
        channel = c_out // outputs_a_group * weight.shape[1] + c_in
        rows = slice(row * row_gap, row * row_gap + (height - 1) * row_step + 1, row_step)
        first = column * column_gap
        columns = slice(first, first + (width - 1) * column_step + 1, column_step)
        padded = F.pad(input.detach()[:, channel], sides)
        return Tap(c_out, padded[:, rows, columns].clone())

    return [(weight, weight_tap), (bias, Tap)]


def linear_taps(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Taps:
    """Weight (O, I) meets one feature of the input (B, I); bias has factor 1."""

    def weight_tap(index: int) -> Tap:
        c_out, c_in = _unravel(index, weight)
        return Tap(c_out, input.detach()[:, c_in].clone())

    return [(weight, weight_tap), (bias, Tap)]


def batch_norm_taps(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Taps:
    """Weight (C,) meets the normalised input, which the buffers determine; bias has factor 1.

    Raises:
        ProxyError: the batch's statistics are used, so that images depend on each other.
    """
    del momentum
    if training or running_mean is None or running_var is None:
        raise ProxyError(
            "Each batch norm must have running statistics, but one normalises by the batch in "
            "evaluation mode as well: images are not independent."
        )
    mean, scale = running_mean, (running_var + eps).rsqrt()

    def weight_tap(index: int) -> Tap:
        return Tap(index, (input.detach()[:, index] - mean[index]) * scale[index])

    return [(weight, weight_tap), (bias, Tap)]


TAPS: Mapping[Any, tuple[Callable[..., Taps], int | None]] = {
    F.conv2d: (conv2d_taps, 4),
    F.linear: (linear_taps, 2),
    running_batch_norm: (batch_norm_taps, None),
}
"""Function: its shortcut, and the rank of the input for which dimension 0 counts images."""


def pair(size: Size) -> tuple[int, int]:
    """Give (rows, columns) of a size."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def padding_sides(padding: Size | str, weight: Tensor, dilation: Size) -> tuple[int, int, int, int]:
    """Give (left, right, top, bottom); ``same`` puts the odd one to the right and the bottom."""
    if padding == "same":
        gaps = zip(pair(dilation), weight.shape[2:], strict=True)
        rows, columns = (gap * (k - 1) for gap, k in gaps)
        return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
    row, column = (0, 0) if isinstance(padding, str) else pair(padding)
    return column, column, row, row


def _unravel(index: int, weight: Tensor) -> list[int]:
    return [int(i) for i in np.unravel_index(index, weight.shape)]


@dataclass
class _Channel:
    """A channel of an output, what depends on it, and its gradients of functions by number."""

    number: int
    taps: list[tuple[int, Tap]] = field(default_factory=list)
    deltas: dict[int, Tensor] = field(default_factory=dict)


class ElementTaps(ParameterUses[Callable[[int], Tap]]):
    """Collects the derivatives by elements of parameters whose functions have taps."""

    def __init__(self, elements: Sequence[tuple[nn.Parameter, int]], images: int) -> None:
        self.columns: dict[Tensor, list[tuple[int, int]]] = {}
        for column, (parameter, index) in enumerate(elements):
            self.columns.setdefault(parameter, []).append((column, index))
        super().__init__(self.columns, images, TAPS)
        self.channels: list[_Channel] = []
        self.number = 0
        self.held = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            func = running_batch_norm
        return super().__torch_function__(func, types, args, kwargs)

    def receiver(
        self, found: list[tuple[Tensor, Callable[[int], Tap]]]
    ) -> Callable[[Tensor], None]:
        """Make the taps now: they keep what they need of the function's input."""
        channels: dict[int, _Channel] = {}
        for parameter, shortcut in found:
            for column, index in self.columns[parameter]:
                tap = shortcut(index)
                channel = channels.setdefault(tap.channel, _Channel(tap.channel))
                channel.taps.append((column, tap))
        self.channels += channels.values()

        def receive(delta: Tensor) -> None:
            for channel in channels.values():
                # A copy, so that the other channels can go.
                kept = channel.deltas[self.number] = delta.select(1, channel.number).clone()
                self.held += kept.numel()

        return receive

    def fill(self, rows: Tensor, functions: Tensor) -> None:
        """Write the derivatives of (B, F) functions into rows (B, F, P)."""
        if not functions.requires_grad:
            return
        for self.number in range(functions.shape[1]):
            torch.autograd.grad(
                functions[:, self.number].sum(), self.anchor, retain_graph=True, allow_unused=True
            )
            if self.held > _HELD:
                self._reduce(rows)
        self._reduce(rows)

    def _reduce(self, rows: Tensor) -> None:
        """Add what is held to the rows: all functions of an element at once."""
        for channel in self.channels:
            if not channel.deltas:
                continue
            deltas = torch.stack(list(channel.deltas.values()))
            first, last = min(channel.deltas), max(channel.deltas)
            for column, tap in channel.taps:
                found = tap(deltas)
                if last - first == len(found) - 1:
                    rows[:, first : last + 1, column] += found.T
                else:  # some functions do not depend on it
                    for number, values in zip(channel.deltas, found, strict=True):
                        rows[:, number, column] += values
            channel.deltas.clear()
        self.held = 0
