"""What decides how a module is written as code: two modules of one structure are written alike."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

Structure = tuple[Any, ...]
"""Hashable, and equal for modules whose code is the same."""

_SIMPLE = frozenset({type(None), bool, int, float, str})
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = tuple(name for name in _OF_EVERY_MODULE if "hooks" in name)


def structure(module: nn.Module) -> Structure | None:
    """Give classes, settings and shapes of a module and its parts; values of tensors do not count.

    Returns:
        The structure; None where something else may matter: a hook, or an attribute that is no
        number, text or tuple of them, nor a list or set of them.
    """
    members = vars(module)
    if any(members.get(name) for name in _HOOKS):
        return None
    found: list[Any] = [type(module)]
    for name, value in members.items():
        if name in _OF_EVERY_MODULE:
            continue
        if (text := _text(value)) is None:
            return None
        found.append((name, text))
    for kind in (module._parameters, module._buffers):
        found.append(tuple((name, _shape(tensor)) for name, tensor in kind.items()))
    found.append(tuple(sorted(module._non_persistent_buffers_set)))
    for name, part in module._modules.items():
        inner = None if part is None else structure(part)
        if part is not None and inner is None:
            return None
        found.append((name, inner))
    return tuple(found)


def _text(value: Any) -> str | None:
    """Write a setting with its type: 1, 1.0 and True are different ones."""
    if type(value) in _SIMPLE:
        return repr(value)
    if type(value) in (tuple, list):
        texts = [_text(item) for item in value]
        return None if None in texts else f"{type(value).__name__}{texts}"
    return None


def _shape(tensor: Tensor | None) -> tuple[Any, ...] | None:
    return None if tensor is None else (tuple(tensor.shape), tensor.dtype, type(tensor))
