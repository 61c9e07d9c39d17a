"""Networks without numbers: shapes and operations of a forward pass at no computation."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from hwnas.dispatch_mode import EagerDispatchMode

Observer = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Called with (ATen operator, positional arguments, keyword arguments, result)."""

_MEMO_LIMIT = 4096
# The schema of this one hides that its result shares the argument's memory.
_HIDDEN_VIEWS = frozenset({"aten::_unsafe_view"})
_IMMUTABLE = frozenset({type(None), bool, int, float, str})
_CONTAINERS = frozenset({OrderedDict, set})
_memo: dict[tuple[Any, ...], Any] = {}


def meta_copy(model: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """Copy a network's structure in evaluation mode, with `meta` tensors for all of its tensors.

    Floating-point tensors become float32, whatever they were. No weight is copied, and `model` is
    left as it is.

    Returns:
        The copy, and its parameters, buffers and tensor attributes.
    """
    tensors: list[Tensor] = []

    def empty(tensor: Tensor) -> Tensor:
        tensors.append(_without_data(tensor))
        return tensors[-1]

    return copy_with(model, empty).eval(), tensors


def copy_with(model: nn.Module, replacement: Callable[[Tensor], Tensor]) -> nn.Module:
    """Copy a network as `copy.deepcopy` does, with other tensors, in a fifth of the time.

    Args:
        model: it is left as it is.
        replacement: gives what stands for a parameter, buffer or tensor attribute in the copy; a
            `nn.Parameter` for a `nn.Parameter`. It is called once for each tensor, shared or not.
    """
    modules = list(model.modules())
    memo: dict[int, Any] = {}
    for module in modules:
        members = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
        for tensor in members:
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = replacement(tensor)
    plain = [module for module in modules if not _copies_itself(module)]
    memo |= {id(module): module.__new__(type(module)) for module in plain}
    for module in plain:
        vars(memo[id(module)]).update({k: _copied(v, memo) for k, v in vars(module).items()})
    return cast(nn.Module, _copied(model, memo))


def _copies_itself(module: nn.Module) -> bool:
    kind = type(module)
    return hasattr(kind, "__deepcopy__") or kind.__reduce_ex__ is not object.__reduce_ex__


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if kind in _CONTAINERS and not value:
        return kind()
    if id(value) in memo:
        return memo[id(value)]
    if kind is tuple and _IMMUTABLE.issuperset(map(type, value)):
        return value
    if kind is dict:
        memo[id(value)] = {key: _copied(item, memo) for key, item in value.items()}
        return memo[id(value)]
    return copy.deepcopy(value, memo)


def _without_data(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    empty = torch.empty_like(tensor, device="meta", dtype=dtype, requires_grad=False)
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


class MetaShapes(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Remember result shapes by operator and argument shapes, for passes over `meta` tensors.

    PyTorch works many shapes out in Python, 0.3 to 1 ms an operation; a network repeats few of
    them. Operations that write in place or give views run as always, so memory sharing and
    version counters stay right.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        """Start with what earlier passes found; `observer` is told of every operation."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        result = _run(func, args, kwargs)
        if self._observer is not None:
            self._observer(func, args, kwargs, result)
        return result


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _is_functional(func):
        return func(*args, **kwargs)
    key = (func, _signature(args), _signature(tuple(sorted(kwargs.items()))))
    known = _memo.get(key)
    if known is not None:
        return _materialise(known)
    result = func(*args, **kwargs)
    if _is_meta(result):
        if len(_memo) >= _MEMO_LIMIT:
            _memo.clear()
        _memo[key] = _signature(result)
    return result


@cache
def _is_functional(func: Any) -> bool:
    schema = func._schema
    aliases = any(value.alias_info is not None for value in (*schema.arguments, *schema.returns))
    return not aliases and schema.name not in _HIDDEN_VIEWS


def _is_meta(result: Any) -> bool:
    if isinstance(result, (tuple, list)):
        return all(isinstance(item, Tensor) and item.is_meta for item in result)
    return isinstance(result, Tensor) and result.is_meta


def _signature(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Tensor, value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, (tuple, list)):
        return (tuple, *map(_signature, value))
    return type(value), value


def _materialise(signature: Any) -> Any:
    kind, *rest = signature
    if kind is tuple:
        return tuple(map(_materialise, rest))
    shape, stride, dtype, _ = rest
    return torch.empty_strided(shape, stride, dtype=dtype, device="meta")
