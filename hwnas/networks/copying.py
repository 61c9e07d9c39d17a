"""Copies of networks, in a fifth of the time that `copy.deepcopy` takes."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

_IMMUTABLE = frozenset({type(None), bool, int, float, str})


def copy_model(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """Copy a network as `copy.deepcopy` does, but its tensors by `convert`.

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
    for module in modules:
        for tensor in own_tensors(module):
            if id(tensor) not in memo:
                memo[id(tensor)] = _converted(tensor, convert, memo)
    plain = [module for module in modules if not _copies_itself(module)]
    memo |= {id(module): module.__new__(type(module)) for module in plain}
    for module in plain:
        vars(memo[id(module)]).update({k: _copied(v, memo) for k, v in vars(module).items()})
    return cast(nn.Module, _copied(model, memo))


def own_tensors(module: nn.Module) -> list[Tensor]:
    """Give the parameters, buffers and tensor attributes of a module, without its children's."""
    members = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
    return [member for member in members if isinstance(member, Tensor)]


@torch.no_grad()
def _converted(tensor: Tensor, convert: Callable[[Tensor], Tensor], memo: dict[int, Any]) -> Tensor:
    if type(tensor) is nn.Parameter:
        return nn.Parameter(convert(tensor), requires_grad=tensor.requires_grad)
    if type(tensor) is Tensor:
        return convert(tensor).detach().requires_grad_(tensor.requires_grad and tensor.is_leaf)
    return copy.deepcopy(tensor, memo)  # e.g. a parameter that a lazy module has yet to size


def _copies_itself(module: nn.Module) -> bool:
    kind = type(module)
    return hasattr(kind, "__deepcopy__") or kind.__reduce_ex__ is not object.__reduce_ex__


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    if type(value) in _IMMUTABLE or (
        type(value) is tuple and _IMMUTABLE.issuperset(map(type, value))
    ):
        return value
    if type(value) is dict:
        memo[id(value)] = {key: _copied(item, memo) for key, item in value.items()}
        return memo[id(value)]
    if type(value) in (OrderedDict, set) and not value:
        return type(value)()
    return copy.deepcopy(value, memo)
