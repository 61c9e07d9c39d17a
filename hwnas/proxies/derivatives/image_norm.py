"""What a batch norm does to a batch of one image, for many images at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.positions import position_rows, sum_positions
from hwnas.proxies.derivatives.running_norm import running_batch_norm


def batch_norm_by_image(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Replace `torch.nn.functional.batch_norm`: each image (C, ...) is normalised by itself.

    Running statistics are used where a batch norm uses them, and not updated. Gradients reach the
    input only, not weight and bias.

    Raises:
        ProxyError: an image has one position, which cannot be normalised.
    """
    del momentum
    if not training and running_mean is not None:
        return running_batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    if input.ndim < 3 or input[0, 0].numel() == 1:
        raise ProxyError("Each batch norm must get more than one position an image.")
    scale = input.new_ones(input.shape[1]) if weight is None else weight
    shift = input.new_zeros(input.shape[1]) if bias is None else bias
    normalised: Tensor = _Normalised.apply(input, scale, shift, eps)  # type: ignore[no-untyped-call]
    return normalised


class _Normalised(torch.autograd.Function):
    """Works on (B, positions, C), which is a view in the `channels_last` layout.

    `instance_norm` gives the same, but copies to the contiguous layout and back: half as fast.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        rows = position_rows(input)
        centred = rows - _mean(rows)
        scale = (_mean(centred.square()) + eps).rsqrt()
        normalised = centred.mul_(scale)
        ctx.save_for_backward(normalised, scale * weight)
        maps = torch.empty_like(input)  # no view, so that it may be changed in place
        torch.addcmul(bias, normalised, weight, out=position_rows(maps))
        return maps

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor, None, None, None]:
        normalised, scale = ctx.saved_tensors
        rows = position_rows(delta)
        along = _mean(rows * normalised)
        gradient = torch.addcmul(rows - _mean(rows), normalised, along, value=-1).mul_(scale)
        maps = torch.unflatten(gradient, 1, delta.shape[2:]).movedim(-1, 1)
        return maps, None, None, None


def _mean(rows: Tensor) -> Tensor:
    return sum_positions(rows) / rows.shape[1]
