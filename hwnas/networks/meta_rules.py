"""Shapes of the commonest operators, for which PyTorch imports its compiler and SymPy.

That takes over a CPU second in each process. What has no rule here is left to PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
_Rule = Callable[..., Any]
"""Maps an operator's arguments to its result; None where the rule does not hold."""


def shapes_of(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Give an operator's result on dense float `meta` tensors; None where no rule holds."""
    rule = _RULES.get(func)
    if rule is None or any(kwargs.values()):
        return None
    tensors = [a for a in args if isinstance(a, Tensor)]
    return rule(*args) if all(map(_is_usual, tensors)) else None


def _is_usual(tensor: Tensor) -> bool:
    # The transposed weights of a linear layer change nothing.
    dense = tensor.is_contiguous() or (tensor.ndim == 2 and tensor.T.is_contiguous())
    return tensor.is_meta and tensor.dtype == torch.float32 and dense


def _same(x: Tensor, *settings: Any) -> Tensor | None:
    del settings
    return _new(*x.shape) if x.is_contiguous() else None


def _both(x: Any, y: Any) -> Tensor | None:
    """Give a sum or product of maps and what is broadcast to them."""
    if not (isinstance(x, Tensor) and isinstance(y, Tensor) and x.ndim == y.ndim):
        return None
    whole, other = (x, y) if x.numel() >= y.numel() else (y, x)
    fits = all(m in (1, n) for n, m in zip(whole.shape, other.shape, strict=True))
    return _same(whole) if fits and other.is_contiguous() else None


def _new(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device="meta")


def _mean(x: Tensor, dims: list[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dims:
        return None
    over = {dim % x.ndim for dim in dims}
    sizes = [1 if i in over else n for i, n in enumerate(x.shape) if keepdim or i not in over]
    return _new(*sizes) if len(over) == len(dims) else None


def _batch_norm(
    x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *settings: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    del weight, bias, mean, variance, settings
    if training:
        return None
    return _new(*x.shape), _new(x.shape[1]), _new(x.shape[1])


def _product(bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor | None:
    fits = rows.ndim == weight.ndim == 2 and rows.shape[1] == weight.shape[0]
    columns = weight.shape[1]
    return _new(len(rows), columns) if fits and bias.shape == (columns,) else None


def _average_pool(
    x: Tensor,
    kernel: list[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    *settings: Any,
) -> Tensor | None:
    del settings
    stride = stride or kernel
    if ceil_mode or x.ndim != 4 or any(len(pair) != 2 for pair in (kernel, stride, padding)):
        return None
    return _windows(x, x.shape[1], kernel, stride, padding, (1, 1))


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor | None:
    del bias, output_padding
    fits = x.ndim == weight.ndim == 4 and x.shape[1] == groups * weight.shape[1]
    if transposed or not fits or weight.shape[0] % groups:
        return None
    if any(len(setting) != 2 for setting in (stride, padding, dilation)):
        return None
    return _windows(x, weight.shape[0], weight.shape[2:], stride, padding, dilation)


def _windows(
    x: Tensor,
    channels: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor | None:
    axes = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]
    return None if min(size) < 1 else _new(len(x), channels, *size)


_RULES: Mapping[Any, _Rule] = {
    _aten.relu.default: _same,
    _aten.zeros_like.default: _same,
    _aten.hardswish.default: _same,
    _aten.hardsigmoid.default: _same,
    _aten.hardtanh.default: _same,
    _aten.silu.default: _same,
    _aten.add.Tensor: _both,
    _aten.mul.Tensor: _both,
    _aten.mean.dim: _mean,
    _aten.native_batch_norm.default: _batch_norm,
    _aten.avg_pool2d.default: _average_pool,
    _aten.convolution.default: _convolution,
    _aten.addmm.default: _product,
}
