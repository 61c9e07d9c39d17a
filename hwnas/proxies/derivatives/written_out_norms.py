"""Normalisations as sums and products, whose second forward derivative PyTorch has right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class WrittenOutNorms(TorchFunctionMode):
    """Writes batch, instance and layer norms out by what they are defined by.

    `torch.func.jvp` of `torch.func.jvp` of PyTorch's own gives wrong numbers, by a tenth and more
    (2.13, `findings/torch_nested_forward_norms.sh`; group norms, and derivatives that go backward
    once, are right). Running statistics are not updated.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return _WRITTEN_OUT.get(func, func)(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training and running_mean is not None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    axes = [0, *range(2, input.ndim)]
    return _scaled(_normalised(input, axes, eps), *_by_channel(input, weight, bias))


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not use_input_stats:
        settings = (weight, bias, use_input_stats, momentum, eps)
        return F.instance_norm(input, running_mean, running_var, *settings)
    axes = range(2, input.ndim)
    return _scaled(_normalised(input, axes, eps), *_by_channel(input, weight, bias))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = range(-len(normalized_shape), 0)
    return _scaled(_normalised(input, axes, eps), weight, bias)


def _normalised(input: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centred = input - input.mean(tuple(axes), keepdim=True)
    return centred * (centred.square().mean(tuple(axes), keepdim=True) + eps).rsqrt()


def _by_channel(input: Tensor, *parameters: Tensor | None) -> list[Tensor | None]:
    shape = (-1, *(1,) * (input.ndim - 2))
    return [None if p is None else p.view(shape) for p in parameters]


def _scaled(maps: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    maps = maps if weight is None else maps * weight
    return maps if bias is None else maps + bias


_WRITTEN_OUT: dict[Any, Any] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
}
