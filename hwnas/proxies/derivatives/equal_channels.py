"""Passes through networks whose channels are equal: one channel stands for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from hwnas.networks.dispatch_mode import EagerDispatchMode
from hwnas.proxies.derivatives.element_taps import pair
from hwnas.proxies.derivatives.window_sums import window_sizes, window_sums

Rule = Callable[[Any, Any, Any], Any]
"""Maps (operator, args, kwargs) to the result; `NotImplemented` where all channels are needed."""

_aten = torch.ops.aten
# They give memory of the format that they are asked for, so they make real channels.
_COPIES = (_aten.clone, _aten._to_copy)


class EqualChannels(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Computes one channel where all channels of a (B, C, ...) tensor are equal.

    Such a tensor is an expanded one: its stride along dimension 1 is 0. A convolution whose weight
    is an expanded number gives one, and pointwise operators, pools, means over positions and batch
    norms in training mode keep it. All other operators read expanded tensors as they read any, so
    the values are those of the ordinary pass, for any network. Only running statistics of batch
    norms are left as they are.

    What expanded tensors do not allow is to write to some of their channels, or to view them in a
    shape that joins channels and positions. Such a network raises a RuntimeError: it has to be run
    without this mode.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._expanded: set[StorageWeakRef] = set()
        self._viewed: set[StorageWeakRef] = set()

    def expand(self, tensor: Tensor, *shape: int) -> Tensor:
        """Expand a tensor whose memory may be written to for all channels together only."""
        self._expanded.add(_memory(tensor))
        return tensor.expand(*shape)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        rule = _rule(func)
        target = args[0] if _writes(func) else kwargs.get("out")
        if isinstance(target, Tensor) and _memory(target) in self._expanded:
            return self._write(target, func, rule, args, kwargs)
        result = rule(func, args, kwargs) if rule else NotImplemented
        if result is not NotImplemented:
            return self._as_channels(*result)
        if func.is_view and _memory(args[0]) in self._expanded:
            self._viewed.add(_memory(args[0]))
        return func(*args, **kwargs)

    def _as_channels(self, one: Any, channels: int) -> Any:
        """Let the one channel of a result stand for all."""
        if isinstance(one, Tensor):
            return self.expand(one, -1, channels, *one.shape[2:])
        return (self.expand(one[0], -1, channels, *one[0].shape[2:]), *one[1:])

    def _write(
        self, target: Tensor, func: Any, rule: Rule | None, args: Any, kwargs: Any
    ) -> Tensor:
        """Write to all channels at once; nothing else may see them as single channels."""
        single = _memory(target) in self._viewed or not _equal(target)
        if single or rule is None or rule(func, args, kwargs) is NotImplemented:
            raise RuntimeError(f"{func} would write to some of the equal channels.")
        return target


def _memory(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _equal(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 1 and value.stride(1) == 0 < value.shape[1]


@cache
def _writes(func: Any) -> bool:
    arguments = func._schema.arguments
    return any(a.alias_info is not None and a.alias_info.is_write for a in arguments)


@cache
def _rule(func: Any) -> Rule | None:
    """Find the rule of an operator; None for one that needs all channels."""
    if func.overloadpacket in _RULES:
        return _RULES[func.overloadpacket]
    seeded = torch.Tag.nondeterministic_seeded in func.tags
    if torch.Tag.pointwise in func.tags and not seeded and func.overloadpacket not in _COPIES:
        return _pointwise
    return None


def _pointwise(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [a for a in args if isinstance(a, Tensor)]
    ndim = max((t.ndim for t in tensors), default=0)
    channels = max((t.shape[1] for t in tensors if t.ndim == ndim > 1 and _equal(t)), default=0)
    if not channels or not all(_alike(t, ndim) for t in tensors):
        return NotImplemented
    return func(*map(_one_channel, args), **kwargs), channels


def _alike(tensor: Tensor, ndim: int) -> bool:
    """Tell whether a tensor is broadcast along dimension 1 of `ndim`."""
    if tensor.ndim == ndim:
        return _equal(tensor) or tensor.shape[1] == 1
    return tensor.ndim < ndim - 1


def _one_channel(value: Any) -> Any:
    return value[:, :1] if _equal(value) else value


def _pool(func: Any, args: Any, kwargs: Any) -> Any:
    if not (_equal(args[0]) and args[0].ndim == 4):
        return NotImplemented
    return func(args[0][:, :1], *args[1:], **kwargs), args[0].shape[1]


def _average_pool(func: Any, args: Any, kwargs: Any) -> Any:
    one = NotImplemented if kwargs else _window_means(*args)
    return _pool(func, args, kwargs) if one is NotImplemented else (one, args[0].shape[1])


def _window_means(
    images: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Any:
    if not (_equal(images) and images.ndim == 4) or ceil_mode:
        return NotImplemented
    window = (pair(kernel), pair(stride or kernel), pair(padding))
    sums = window_sums(images[:, :1], *window)
    if sums is None:
        return NotImplemented
    if divisor is None and not count_include_pad:
        return sums / window_sizes(images.shape[2:], *window)
    return sums / (divisor or window[0][0] * window[0][1])


def _reduction(func: Any, args: Any, kwargs: Any) -> Any:
    if not (_equal(args[0]) and len(args) > 1 and isinstance(args[1], (list, tuple)) and args[1]):
        return NotImplemented
    if min(dim % args[0].ndim for dim in args[1]) < 2:
        return NotImplemented
    return func(args[0][:, :1], *args[1:], **kwargs), args[0].shape[1]


def _batch_norm(func: Any, args: Any, kwargs: Any) -> Any:
    images, weight, bias, _, _, training, momentum, eps = args
    if not (training and _equal(images) and all(map(_constant, (weight, bias)))):
        return NotImplemented
    weight, bias = (None if p is None else p[:1] for p in (weight, bias))
    one = func(images[:, :1], weight, bias, None, None, training, momentum, eps, **kwargs)
    return one, images.shape[1]


def _convolution(func: Any, args: Any, kwargs: Any) -> Any:
    images, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args
    if transposed or not all(map(_constant, (weight, bias))):
        return NotImplemented
    if _equal(images):
        one = images[:, :1] * weight.shape[1]
    elif groups == 1:
        one = images.sum(dim=1, keepdim=True)
    else:
        return NotImplemented
    sums = None
    if weight.ndim == 4:
        window = (weight.shape[2:], stride, padding, dilation)
        sums = window_sums(one, *map(pair, window))
    if sums is not None:
        one = sums * weight[:1, :1, :1, :1]
        return (one if bias is None else one + bias[0]), weight.shape[0]
    bias = None if bias is None else bias[:1]
    settings = (stride, padding, dilation, transposed, output_padding, 1)
    return func(one, weight[:1, :1], bias, *settings, **kwargs), weight.shape[0]


def _constant(parameter: Tensor | None) -> bool:
    return parameter is None or not any(parameter.stride())


_RULES: dict[Any, Rule] = {
    _aten.convolution: _convolution,
    _aten.native_batch_norm: _batch_norm,
    _aten.hardswish: _pointwise,
    _aten.avg_pool2d: _average_pool,
    _aten.max_pool2d_with_indices: _pool,
    _aten._adaptive_avg_pool2d: _pool,
    _aten.mean: _reduction,
    _aten.sum: _reduction,
    _aten.amax: _reduction,
}
