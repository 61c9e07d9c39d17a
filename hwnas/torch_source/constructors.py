"""Standard modules of PyTorch as the calls that make them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from hwnas.torch_source.expressions import NotWritableError, literal
from hwnas.torch_source.structure import Structure, structure

_OWN = {"__init__", "__doc__", "__module__", "__constants__", "__annotations__", "__repr__"}
_OWN |= {"extra_repr", "reset_parameters", "__parameters__", "__qualname__", "__firstlineno__"}
_OWN |= {"__static_attributes__", "__orig_bases__"}
"""What a subclass may have and still compute what its base does."""


def torch_class(module: nn.Module) -> type[nn.Module] | None:
    """Find the class of `torch.nn` whose computation a module's is; None if it has its own."""
    for kind in type(module).__mro__:
        if getattr(nn, kind.__name__, None) is kind:
            return kind if kind is not nn.Module else None
        if not set(vars(kind)) <= _OWN:
            return None
    return None


def constructor(module: nn.Module, kind: type[nn.Module]) -> str:
    """Write the call that makes a module of `torch.nn`, e.g. ``nn.Conv2d(3, 16, 3, padding=1)``.

    Arguments that are the defaults are left out. That the call makes a module of the same settings
    and weights is checked.

    Args:
        module: the module.
        kind: its class, as `torch_class` gives it.

    Raises:
        NotWritableError: no such call is found.
    """
    key = structure(module)
    if key is None:
        return _constructor(module, kind)
    if key not in _written:
        _written[key] = _constructor(module, kind)
    return _written[key]


_written: dict[Structure, str] = {}
"""Calls that were written before, which take a hundred times as long to find as to look up."""


def _constructor(module: nn.Module, kind: type[nn.Module]) -> str:
    parameters = _parameters(kind)
    settings = {name: _value(module, kind, name, known) for name, known in parameters.items()}
    for name, value in list(settings.items()):
        short = {**settings, name: _shortened(value)}
        if short[name] is not value and _makes(kind, short, module):
            settings = short
    if not _makes(kind, settings, module):
        raise NotWritableError(f"the settings of {kind.__name__}")
    return f"nn.{kind.__name__}({', '.join(_arguments(parameters, settings))})"


def _parameters(kind: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    """Give what the constructor takes, apart from device, type and what is private."""
    source = nn.RNNBase if issubclass(kind, nn.RNNBase) else kind
    left_out = ("self", "device", "dtype", *(("mode",) if source is nn.RNNBase else ()))
    found = inspect.signature(source.__init__).parameters
    # What takes anything, such as an identity, keeps nothing.
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: parameter
        for name, parameter in found.items()
        if name not in left_out and not name.startswith("_") and parameter.kind not in starred
    }


def _value(module: Any, kind: type[nn.Module], name: str, known: inspect.Parameter) -> Any:
    """Find an argument among the attributes that the constructor has set."""
    if isinstance(module, nn.MultiheadAttention) and name in _ATTENTION:
        return getattr(module, _ATTENTION[name]) is not None
    if not hasattr(module, name):
        if known.default is known.empty:
            raise NotWritableError(f"`{name}` of {kind.__name__}")
        return known.default
    value = getattr(module, name)
    return value is not None if name == "bias" and not isinstance(value, bool) else value


_ATTENTION = {"bias": "in_proj_bias", "add_bias_kv": "bias_k"}


def _shortened(value: Any) -> Any:
    """Give the number that all entries of a tuple are."""
    same = isinstance(value, tuple) and len(set(value)) == 1
    return value[0] if same else value


def _makes(kind: type[nn.Module], settings: Mapping[str, Any], module: nn.Module) -> bool:
    """Tell whether the settings make a module like this one; nothing is drawn or allocated."""
    try:
        with torch.device("meta"):
            made = kind(**settings)
    except Exception:  # whatever the class raises for settings that it does not take
        return False
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (made, module)]
    plain = dict(_plain(made))
    return shapes[0] == shapes[1] and plain == {n: v for n, v in _plain(module) if n in plain}


_NOT_SETTINGS = set(vars(nn.Module()))


def _plain(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name not in _NOT_SETTINGS and not name.startswith("_"):
            yield name, value


def _arguments(
    parameters: Mapping[str, inspect.Parameter], settings: Mapping[str, Any]
) -> Iterator[str]:
    for name, known in parameters.items():
        value = settings[name]
        if known.default is known.empty:
            yield literal(value)
        elif type(value) is not type(known.default) or value != known.default:
            yield f"{name}={literal(value)}"
