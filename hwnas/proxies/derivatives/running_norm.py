"""Batch norms by running statistics, whose backward pass to the input is one product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def running_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Replace `torch.nn.functional.batch_norm` where running statistics are used.

    PyTorch's backward pass sums over images and positions too, for weight and bias, whether these
    are asked for or not. Here gradients reach the input only. A batch norm that is as new
    multiplies by one number.
    """
    if training or running_mean is None or running_var is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    with torch.no_grad():
        scale = (running_var + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -running_mean * scale
        shift = shift if bias is None else shift + bias
        as_new = bool((scale == scale[0]).all()) and not bool(shift.any())
    if as_new:
        return input * float(scale[0])
    by_channel = (-1, *(1,) * (input.ndim - 2))
    return torch.addcmul(shift.view(by_channel), input, scale.view(by_channel))
