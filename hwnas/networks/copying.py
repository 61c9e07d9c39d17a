"""Copies of networks, in a fifth of the time that `copy.deepcopy` takes."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import CellType, FunctionType, MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

_IMMUTABLE = frozenset({type(None), bool, int, float, str})
_DICTS = frozenset({dict, OrderedDict})
_LISTS = frozenset({list, tuple})
# A dozen dictionaries of hooks in each module, nearly all of them empty, which no other refers to.
_HOOKS = frozenset(
    name for name, value in vars(nn.Module()).items() if "hooks" in name and type(value) in _DICTS
)
# Modules that only run another one, by the attribute that holds it. They are named by text, since
# importing the compiler takes over a second.
_WRAPPERS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.CheckpointWrapper": (
        "_checkpoint_wrapped_module"
    ),
}
_COMPILED = "_compiled_call_impl"
_BEFORE_COMPILING = "_torchdynamo_orig_callable"


def copy_model(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """Copy a network as `copy.deepcopy` does, but its tensors by `convert`, and as eager code.

    What `torch.compile` made is left out of the copy, and so are the modules that only run another
    one (`torch.nn.DataParallel`, `torch.optim.swa_utils.AveragedModel`): the other one stands in
    their place. Functions that the modules hold and that refer to the network by their closure or
    defaults, e.g. a replaced `forward`, refer to the copy.

    Args:
        model: the network; it is left as it is.
        convert: gives the new data of a parameter, a buffer or a tensor attribute of a module; it
            is called without gradients, once for a tensor that several members share. Parameters
            stay parameters.

    Returns:
        The copy: modules, hooks, containers and whatever else the modules hold are its own.
    """
    modules = list(model.modules())
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for module in modules:
            for tensor in own_tensors(module):
                if id(tensor) not in memo:
                    memo[id(tensor)] = _converted(tensor, convert, memo)
    wrappers = [module for module in modules if is_wrapper(module)]
    plain = [m for m in modules if not is_wrapper(m) and not copies_itself(m)]
    memo |= {id(module): module.__new__(type(module)) for module in plain}
    memo |= {id(wrapper): _copied(_inner(wrapper), memo) for wrapper in wrappers}
    for module in plain:
        _copy_members(vars(module), vars(memo[id(module)]), memo)
    return cast(nn.Module, _copied(model, memo))


def _copy_members(members: dict[str, Any], copies: dict[str, Any], memo: dict[int, Any]) -> None:
    for name, value in members.items():
        kind = type(value)
        if kind in _IMMUTABLE:
            copies[name] = value
        elif name in _HOOKS and not value:
            copies[name] = kind()
        elif name != _COMPILED:
            copies[name] = _copied(value, memo)


def own_tensors(module: nn.Module) -> list[Tensor]:
    """Give the parameters, buffers and tensor attributes of a module, without its children's.

    Tensors in a list, tuple or dictionary that is an attribute are among them.
    """
    found: list[Tensor] = []
    for member in vars(module).values():
        kind = type(member)
        if kind in _IMMUTABLE:
            continue
        if kind in _DICTS:
            if member:
                found += [item for item in member.values() if isinstance(item, Tensor)]
        elif kind in _LISTS:
            found += [item for item in member if isinstance(item, Tensor)]
        elif isinstance(member, Tensor):
            found.append(member)
    return found


def is_wrapper(module: nn.Module) -> bool:
    """Tell whether a module only runs another one, so that a copy leaves it out."""
    return _inner(module) is not module


@functools.cache
def _inner_name(kind: Hashable) -> str | None:
    assert isinstance(kind, type)
    for base in kind.__mro__:
        if name := _WRAPPERS.get(f"{base.__module__}.{base.__qualname__}"):
            return name
        if "forward" in vars(base):
            return None  # a subclass that does more
    return None


def _inner(module: nn.Module) -> nn.Module:
    while (name := _inner_name(cast(Hashable, type(module)))) is not None:
        module = cast(nn.Module, module._modules[name])
    return module


def _converted(tensor: Tensor, convert: Callable[[Tensor], Tensor], memo: dict[int, Any]) -> Tensor:
    if type(tensor) is nn.Parameter:
        return nn.Parameter(convert(tensor), requires_grad=tensor.requires_grad)
    if type(tensor) is Tensor:
        return convert(tensor).detach().requires_grad_(tensor.requires_grad and tensor.is_leaf)
    return copy.deepcopy(tensor, memo)  # e.g. a parameter that a lazy module has yet to size


def copies_itself(module: nn.Module) -> bool:
    """Tell whether a module's class has a way of its own to be copied."""
    kind = type(module)
    if "parametrizations" in module._modules:
        kind = kind.__bases__[0]  # PyTorch's copy of such modules is this one
    return hasattr(kind, "__deepcopy__") or kind.__reduce_ex__ is not object.__reduce_ex__


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    known = memo.get(id(value))
    if known is not None:
        return known
    kind = type(value)
    if kind in _IMMUTABLE or (kind is tuple and _IMMUTABLE.issuperset(map(type, value))):
        return value
    if kind in _DICTS:
        # Before its members, which may refer to it.
        memo[id(value)] = twin = kind()
        for key, item in value.items():
            twin[key] = _copied(item, memo)
        return twin
    if kind is list:
        memo[id(value)] = []
        memo[id(value)].extend(_copied(item, memo) for item in value)
        return memo[id(value)]
    if kind is set and not value:
        return set()
    if kind is FunctionType:
        return _rebound(value, memo)
    return copy.deepcopy(value, memo)


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Give what a function refers to as the copy has it; the value itself if that is no copy."""
    if id(value) in memo:
        return memo[id(value)]
    kind = type(value)
    if kind is FunctionType:
        return _rebound_function(value, memo)
    if kind is MethodType:
        owner = _rebound(value.__self__, memo)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    if kind is functools.partial:
        parts = (value.func, value.args, value.keywords)
        function, args, keywords = new = _rebound(parts, memo)
        return value if new is parts else functools.partial(function, *args, **keywords)
    if kind in (tuple, list):
        items = [_rebound(item, memo) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else kind(items)
    if kind is dict:
        entries = {key: _rebound(item, memo) for key, item in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries
    return value


def _rebound_function(function: FunctionType, memo: dict[int, Any]) -> Any:
    if _BEFORE_COMPILING in vars(function):
        return _rebound(vars(function)[_BEFORE_COMPILING], memo)
    cells = function.__closure__ or ()
    if not (cells or function.__defaults__ or function.__kwdefaults__):
        return function
    own = tuple(CellType() for _ in cells)
    twin = FunctionType(
        function.__code__, function.__globals__, function.__name__, None, own or None
    )
    memo[id(function)] = twin  # it may refer to itself
    defaults = function.__defaults__, function.__kwdefaults__
    twin.__defaults__, twin.__kwdefaults__ = new = _rebound(defaults, memo)
    changed = new is not defaults
    for cell, copied in zip(cells, own, strict=True):
        try:
            contents = cell.cell_contents
        except ValueError:  # a variable that has yet to be set
            continue
        copied.cell_contents = _rebound(contents, memo)
        changed = changed or copied.cell_contents is not contents
    if not changed:
        memo[id(function)] = function
        return function
    functools.update_wrapper(twin, function)
    vars(twin).pop("__wrapped__")  # the original
    return twin
