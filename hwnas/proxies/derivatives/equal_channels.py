"""Passes through networks whose channels are equal: one channel stands for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from hwnas.networks.dispatch_mode import EagerDispatchMode
from hwnas.proxies.derivatives.element_taps import pair
from hwnas.proxies.derivatives.window_sums import window_sizes, window_sums

Rule = Callable[["EqualChannels", Any, Any, Any], Any]
"""Maps (mode, operator, args, kwargs) to the result and its number of channels, which are equal;
`NotImplemented` where all channels are needed."""

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

    Weights may have several values in one pass, of L lanes: an expanded tensor shows the first
    lane, and the memory behind it has the others, at a distance that the mode knows. Operators
    that read expanded tensors as they read any would miss those: they raise a RuntimeError, too.

    Args:
        lanes: passes L that are run at once.
    """

    def __init__(self, lanes: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = lanes
        # By addresses of memory, which are not given to another as long as there is a reference.
        self._expanded: dict[int, StorageWeakRef] = {}
        self._viewed: set[int] = set()
        self._distances: dict[int, int] = {}

    def constant(self, numbers: Tensor, *shape: int) -> Tensor:
        """Give a tensor that is one number everywhere, `numbers` (L,) in the lanes."""
        self._note(numbers, numbers.stride(0) if self.count > 1 else None)
        return numbers[0].expand(*shape)

    def answers(self, answer: Tensor) -> list[Tensor]:
        """Give what the network answered in each lane."""
        if _memory(answer) not in self._distances:
            return [answer] * self.count
        if not _equal(answer):
            raise RuntimeError("The answer has other channels than equal ones.")
        lanes = self.lanes(answer)
        return [lanes[:, lane : lane + 1].expand_as(answer) for lane in range(self.count)]

    def lanes(self, value: Any) -> Any:
        """Give (B, L, ...) for (B, C, ...) with equal channels; (B, 1, ...) where lanes are equal.

        Anything else is given back as it is.
        """
        if not _equal(value):
            return value
        distance = self._distances.get(_memory(value))
        if distance is None:
            return value[:, :1]
        shape, stride = list(value.shape), list(value.stride())
        shape[1], stride[1] = self.count, distance
        return value.as_strided(shape, stride)

    def numbers(self, parameter: Tensor) -> Tensor:
        """Give the (L,) or (1,) values of a tensor that is one number everywhere."""
        distance = self._distances.get(_memory(parameter))
        if distance is None:
            return parameter.as_strided((1,), (1,))
        return parameter.as_strided((self.count,), (distance,))

    def differs(self, value: Any) -> bool:
        """Tell whether a value is not the same in all lanes."""
        return isinstance(value, Tensor) and _memory(value) in self._distances

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        rule = _rule(func)
        target = args[0] if _writes(func) else kwargs.get("out")
        if isinstance(target, Tensor) and _memory(target) in self._expanded:
            return self._write(target, func, rule, args, kwargs)
        result = rule(self, func, args, kwargs) if rule else NotImplemented
        if result is not NotImplemented:
            return self._as_channels(*result)
        if func.is_view:
            if _memory(args[0]) in self._expanded:
                self._viewed.add(_memory(args[0]))
        elif self._distances and any(map(self.differs, _leaves((*args, *kwargs.values())))):
            raise RuntimeError(f"{func} would read one of several lanes.")
        return func(*args, **kwargs)

    def _as_channels(self, one: Any, channels: int) -> Any:
        """Let the lanes of a result, (B, L, ...) or (B, 1, ...), stand for all channels."""
        if not isinstance(one, Tensor):
            return (self._as_channels(one[0], channels), *one[1:])
        (images, lanes, *size), (of_image, of_lane, *steps) = one.shape, one.stride()
        self._note(one, of_lane if lanes > 1 else None)
        return one.as_strided((images, channels, *size), (of_image, 0, *steps))

    def _note(self, tensor: Tensor, distance: int | None) -> None:
        """Note that memory holds equal channels, and how far apart lanes are."""
        memory = _memory(tensor)
        if memory not in self._expanded:
            storage = tensor.untyped_storage()
            self._expanded[memory] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        if distance is not None:
            self._distances[memory] = distance

    def _write(
        self, target: Tensor, func: Any, rule: Rule | None, args: Any, kwargs: Any
    ) -> Tensor:
        """Write to all channels at once; nothing else may see them as single channels."""
        single = _memory(target) in self._viewed or not _equal(target)
        if single or rule is None or rule(self, func, args, kwargs) is NotImplemented:
            raise RuntimeError(f"{func} would write to some of the equal channels.")
        return target


def _leaves(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value


def _memory(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


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


def _pointwise(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [a for a in args if isinstance(a, Tensor)]
    ndim = max((t.ndim for t in tensors), default=0)
    channels = max((t.shape[1] for t in tensors if t.ndim == ndim > 1 and _equal(t)), default=0)
    if not channels or not all(_alike(mode, t, ndim) for t in tensors):
        return NotImplemented
    return func(*map(mode.lanes, args), **kwargs), channels


def _alike(mode: EqualChannels, tensor: Tensor, ndim: int) -> bool:
    """Tell whether a tensor is broadcast along dimension 1 of `ndim`."""
    if tensor.ndim == ndim:
        return _equal(tensor) or (tensor.shape[1] == 1 and not mode.differs(tensor))
    return tensor.ndim < ndim - 1 and not mode.differs(tensor)


def _fresh(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    """Give zeros or ones of a shape: one lane stands for all, in dense memory."""
    if not _equal(args[0]):
        return NotImplemented
    return func(mode.lanes(args[0]).contiguous(), *args[1:], **kwargs), args[0].shape[1]


def _pool(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    if not (_equal(args[0]) and args[0].ndim == 4):
        return NotImplemented
    return func(mode.lanes(args[0]), *args[1:], **kwargs), args[0].shape[1]


def _average_pool(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    if not (_equal(args[0]) and args[0].ndim == 4):
        return NotImplemented
    one = NotImplemented if kwargs else _window_means(mode.lanes(args[0]), *args[1:])
    return _pool(mode, func, args, kwargs) if one is NotImplemented else (one, args[0].shape[1])


def _window_means(
    lanes: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Any:
    if ceil_mode:
        return NotImplemented
    window = (pair(kernel), pair(stride or kernel), pair(padding))
    sums = window_sums(lanes, *window)
    if divisor is None and not count_include_pad:
        return sums / window_sizes(lanes.shape[2:], *window)
    return sums / (divisor or window[0][0] * window[0][1])


def _reduction(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    if not (_equal(args[0]) and len(args) > 1 and isinstance(args[1], (list, tuple)) and args[1]):
        return NotImplemented
    if min(dim % args[0].ndim for dim in args[1]) < 2:
        return NotImplemented
    return func(mode.lanes(args[0]), *args[1:], **kwargs), args[0].shape[1]


def _batch_norm(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    images, weight, bias, _, _, training, momentum, eps = args
    if not (training and _equal(images) and all(map(_constant, (weight, bias)))):
        return NotImplemented
    weight, bias = (None if p is None else mode.numbers(p) for p in (weight, bias))
    lanes = mode.lanes(images)
    count = max(p.shape[0] if p is not None else 1 for p in (lanes[0], weight, bias))
    lanes = lanes.expand(-1, count, *images.shape[2:])
    weight, bias = (None if p is None else p.expand(count) for p in (weight, bias))
    return func(lanes, weight, bias, None, None, training, momentum, eps, **kwargs), images.shape[1]


def _convolution(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    images, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args
    if transposed or not all(map(_constant, (weight, bias))):
        return NotImplemented
    scale = mode.numbers(weight)
    if _equal(images):
        lanes, scale = mode.lanes(images), scale * weight.shape[1]
    elif groups == 1 and not mode.differs(images):
        lanes = images.sum(dim=1, keepdim=True)
    else:
        return NotImplemented
    if weight.ndim == 4:
        window = (weight.shape[2:], stride, padding, dilation)
        sums = window_sums(lanes, *map(pair, window))
    else:
        settings = (stride, padding, dilation, transposed, output_padding, 1)
        ones = torch.ones_like(weight[:1, :1], memory_format=torch.contiguous_format)
        alone = lanes.flatten(0, 1)[:, None]  # (B * L, 1, ...)
        sums = func(alone, ones, None, *settings, **kwargs)
        sums = sums[:, 0].unflatten(0, lanes.shape[:2])
    by_lane = (-1, *(1 for _ in weight.shape[2:]))
    result = sums * scale.view(by_lane)
    return (result if bias is None else result + mode.numbers(bias).view(by_lane)), weight.shape[0]


def _product(mode: EqualChannels, func: Any, args: Any, kwargs: Any) -> Any:
    """Multiply (B, F) equal features by (F, K) equal weights, and add the bias where there is."""
    del func
    *bias, features, weight = args
    constant = _constant(weight) and all(map(_constant, bias))
    if mode.count == 1 or kwargs or not (_equal(features) and constant):
        return NotImplemented  # of one lane, it is read as any tensor
    result = mode.lanes(features) * weight.shape[0] * mode.numbers(weight)
    return (result + mode.numbers(bias[0]) if bias else result), weight.shape[1]


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
    _aten.zeros_like: _fresh,
    _aten.ones_like: _fresh,
    _aten.addmm: _product,
    _aten.mm: _product,
}
