"""Many copies of one network: what it is made of is looked at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.networks.copying import copies_itself, copy_model, is_wrapper

Convert = Callable[[Tensor], Tensor]

_SHARED = frozenset(
    {type(None), bool, int, float, str, type, BuiltinFunctionType, torch.dtype, torch.device}
)
_DICTS = frozenset({dict, OrderedDict})


class Blueprint:
    """Copies a network in a third of the time of `copy_model`, where it is of the usual make.

    That is: its modules hold numbers, texts, tuples and lists of them, tensors and modules, as
    those of PyTorch do, and no hooks. Any other network is copied by `copy_model`.

    Args:
        model: the network; it must not change between the copies.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        modules = list(model.modules())
        places = {id(module): place for place, module in enumerate(modules)}
        parts = [_part(module, places) for module in modules]
        usual = [part for part in parts if part is not None]
        held = [id(value) for part in usual for _, value in part.containers if value]
        complete = len(usual) == len(parts) and len(held) == len(set(held))
        self._parts = usual if complete else []

    def copy(self, convert: Convert, training: bool) -> nn.Module:
        """Make a copy in training or evaluation mode, whose parameters need no gradient.

        Args:
            convert: gives the data of a parameter or buffer, see `copy_model`.
            training: its mode.
        """
        if not self._parts:
            return copy_model(self._model, convert).train(training).requires_grad_(False)
        twins = [part.kind.__new__(part.kind) for part in self._parts]
        once = _Once(convert)
        with torch.no_grad():
            for part, twin in zip(self._parts, twins, strict=True):
                members = vars(twin)
                members |= part.shared
                for name, kind in part.empty:
                    members[name] = kind()
                for name, value in part.containers:
                    members[name] = value.copy()
                for name, held in part.tensors:
                    members[name] = {key: once(tensor) for key, tensor in held.items()}
                members["_modules"] = {
                    name: None if place is None else twins[place]
                    for name, place in part.children.items()
                }
                members["training"] = training
        return twins[0]


class _Once:
    """Converts a tensor that several modules share once; parameters stay parameters."""

    def __init__(self, convert: Convert) -> None:
        self._convert = convert
        self._known: dict[int, Tensor] = {}

    def __call__(self, tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        if (twin := self._known.get(id(tensor))) is None:
            twin = self._convert(tensor)
            if isinstance(tensor, nn.Parameter):
                twin = nn.Parameter(twin, requires_grad=False)
            self._known[id(tensor)] = twin
        return twin


@dataclass(frozen=True)
class _Part:
    """What a module is made of, by what a copy does with it.

    Attributes:
        kind: its class.
        shared: all members in their order, of which a copy keeps those that cannot change.
        empty: names and kinds of empty dictionaries and sets.
        containers: names and values of lists and sets of what cannot change.
        tensors: names and dictionaries of parameters and of buffers.
        children: places of its modules among all.
    """

    kind: type[nn.Module]
    shared: dict[str, Any]
    empty: list[tuple[str, type]]
    containers: list[tuple[str, Any]]
    tensors: list[tuple[str, dict[str, Tensor | None]]]
    children: dict[str, int | None]


def _part(module: nn.Module, places: dict[int, int]) -> _Part | None:
    """Look at a module; None if it is not of the usual make."""
    kind = type(module)
    if is_wrapper(module) or copies_itself(module) or kind.train is not nn.Module.train:
        return None
    empty: list[tuple[str, type]] = []
    containers, tensors = [], []
    for name, value in vars(module).items():
        held = type(value)
        if held in _SHARED or name == "_modules":
            continue
        if name in ("_parameters", "_buffers"):
            if not all(map(_is_plain, value.values())):
                return None
            tensors.append((name, value))
        elif held in _DICTS and not value:
            empty.append((name, held))
        elif held in (list, set) and all(map(_unchanging, value)):
            containers.append((name, value))
        elif not _unchanging(value):
            return None
    children = {n: None if m is None else places[id(m)] for n, m in module._modules.items()}
    return _Part(kind, dict(vars(module)), empty, containers, tensors, children)


def _unchanging(value: Any) -> bool:
    kind = type(value)
    return kind in _SHARED or (kind is tuple and all(map(_unchanging, value)))


def _is_plain(tensor: Tensor | None) -> bool:
    if type(tensor) is Tensor:
        return not tensor.requires_grad
    return tensor is None or type(tensor) is nn.Parameter
