"""Many copies of one network: what it is made of is looked at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hwnas.networks.copying import copies_itself, copy_model, is_wrapper

Convert = Callable[[Tensor], Tensor]

_SHARED = frozenset(
    {type(None), bool, int, float, str, type, BuiltinFunctionType, torch.dtype, torch.device}
)
_EMPTY = frozenset({dict, OrderedDict, list, set})


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
        tensors = _Places()
        parts = [_part(module, places, tensors) for module in modules]
        usual = [part for part in parts if part is not None]
        held = [id(value) for part in usual for _, value in part.containers]
        complete = len(usual) == len(parts) and len(held) == len(set(held))
        self._parts = usual if complete else []
        self._tensors = tensors.found

    def copy(self, convert: Convert, training: bool) -> nn.Module:
        """Make a copy in training or evaluation mode, whose parameters need no gradient.

        Args:
            convert: gives the data of a parameter or buffer, see `copy_model`.
            training: its mode.
        """
        if not self._parts:
            return copy_model(self._model, convert).train(training).requires_grad_(False)
        # Behind the last stands what is None.
        twins = [*(part.kind.__new__(part.kind) for part in self._parts), None]
        with torch.no_grad():
            converted = [*(_converted(tensor, convert) for tensor in self._tensors), None]
        for part, twin in zip(self._parts, twins, strict=False):
            members = vars(twin)
            members.update(part.shared)
            for name, kind in part.empty:
                members[name] = kind()
            for name, value in part.containers:
                members[name] = value.copy()
            for name, held in part.tensors:
                members[name] = {key: converted[place] for key, place in held}
            members["_modules"] = {name: twins[place] for name, place in part.children}
            members["training"] = training
        assert twins[0] is not None
        return twins[0]


def _converted(tensor: Tensor, convert: Convert) -> Tensor:
    """Convert a tensor; parameters stay parameters."""
    twin = convert(tensor)
    return nn.Parameter(twin, requires_grad=False) if type(tensor) is nn.Parameter else twin


class _Places:
    """Numbers the tensors that modules hold, of which several may hold the same.

    Attributes:
        found: the tensors.
    """

    def __init__(self) -> None:
        self.found: list[Tensor] = []
        self._known: dict[int, int] = {id(None): -1}

    def __call__(self, tensor: Tensor | None) -> int:
        place = self._known.setdefault(id(tensor), len(self.found))
        if tensor is not None and place == len(self.found):
            self.found.append(tensor)
        return place


class _Part(NamedTuple):
    """What a module is made of, by what a copy does with it.

    Attributes:
        kind: its class.
        shared: all members in their order, of which a copy keeps those that cannot change.
        empty: names and kinds of empty dictionaries, lists and sets.
        containers: names and values of lists and sets of what cannot change.
        tensors: names of the dictionaries of parameters and of buffers, and the places of these.
        children: names of its modules, and their places among all.
    """

    kind: type[nn.Module]
    shared: dict[str, Any]
    empty: list[tuple[str, type]]
    containers: list[tuple[str, Any]]
    tensors: list[tuple[str, list[tuple[str, int]]]]
    children: list[tuple[str, int]]


def _part(module: nn.Module, places: dict[int, int], tensor_place: _Places) -> _Part | None:
    """Look at a module; None if it is not of the usual make."""
    kind = type(module)
    if is_wrapper(module) or copies_itself(module) or kind.train is not nn.Module.train:
        return None
    empty: list[tuple[str, type]] = []
    containers: list[tuple[str, Any]] = []
    tensors: list[tuple[str, list[tuple[str, int]]]] = []
    shared = dict(vars(module))
    for name, value in shared.items():
        held = type(value)
        if held in _SHARED:
            continue
        if held in _EMPTY and not value:
            empty.append((name, held))
        elif name in ("_parameters", "_buffers"):
            if not all(map(_is_plain, value.values())):
                return None
            tensors.append((name, [(key, tensor_place(tensor)) for key, tensor in value.items()]))
        elif name == "_modules":
            continue
        elif held in (list, set) and all(map(_unchanging, value)):
            containers.append((name, value))
        elif not _unchanging(value):
            return None
    children = [(n, -1 if m is None else places[id(m)]) for n, m in module._modules.items()]
    return _Part(kind, shared, empty, containers, tensors, children)


def _unchanging(value: Any) -> bool:
    kind = type(value)
    if kind is tuple:
        return _SHARED.issuperset(map(type, value)) or all(map(_unchanging, value))
    return kind in _SHARED


def _is_plain(tensor: Tensor | None) -> bool:
    if type(tensor) is Tensor:
        return not tensor.requires_grad
    return tensor is None or type(tensor) is nn.Parameter
