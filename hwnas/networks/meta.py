"""Networks without numbers: shapes and operations of a forward pass at no computation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.networks.copying import copy_model, own_tensors
from hwnas.networks.dispatch_mode import EagerDispatchMode
from hwnas.networks.meta_rules import shapes_of
from hwnas.networks.plain import plain_network

Observer = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
"""Called with (ATen operator, positional arguments, keyword arguments, result)."""

_MEMO_LIMIT = 4096
# The schemas of these hide that their results share the argument's memory.
_HIDDEN_VIEWS = frozenset(
    f"aten::{name}"
    for name in ("_unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk")
)
_memo: dict[tuple[Any, ...], Any] = {}


def meta_copy(model: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """Copy a plain network's structure in evaluation mode, with `meta` tensors for all tensors.

    Floating-point tensors become float32, whatever they were. No weight is copied, and `model` is
    left as it is.

    Returns:
        The copy, and its parameters, buffers and tensor attributes.
    """
    twin = copy_model(plain_network(model), _without_data).eval().requires_grad_(False)
    tensors = {id(t): t for module in twin.modules() for t in own_tensors(module)}
    return twin, list(tensors.values())


def _without_data(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return torch.empty_like(tensor, device="meta", dtype=dtype)


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
        if _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
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
    result = shapes_of(func, args, kwargs)
    if result is None:
        result = func(*args, **kwargs)
    if _is_meta(result):
        if len(_memo) >= _MEMO_LIMIT:
            _memo.clear()
        _memo[key] = _signature(result)
    return result


@cache
def _is_composite(func: Any) -> bool:
    """Tell whether an operator is made of others, which inference mode does not split it into."""
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return hasattr(func, "_schema") and has_kernel(func.name(), "CompositeImplicitAutograd")


@cache
def _is_functional(func: Any) -> bool:
    if not hasattr(func, "_schema"):
        return False
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
