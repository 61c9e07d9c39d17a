"""Nodes of a traced graph, and the values in them, as Python expressions."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from types import EllipsisType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn


class NotWritableError(Exception):
    """A network holds something that is not written as plain code; the text says what."""


Name = Callable[[fx.Node], str]
"""The variable that holds the result of a node."""

INFIX: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/",
    operator.floordiv: "//", operator.mod: "%", operator.pow: "**", operator.matmul: "@",
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
    operator.eq: "==", operator.ne: "!=", operator.and_: "&", operator.or_: "|",
}  # fmt: skip
_NAMESPACES = {"F": F, "torch": torch, "torch.linalg": torch.linalg, "math": math}
_NAMESPACES |= {"operator": operator}
_LITERALS = (bool, int, str, bytes, type(None))


def literal(value: Any, name: Name | None = None) -> str:
    """Write a value.

    Args:
        value: numbers, texts, types of tensors, and what is made of them.
        name: gives the variables of nodes; None where there are none.

    Raises:
        NotWritableError: it is something else.
    """
    if isinstance(value, fx.Node) and name is not None:
        return name(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if type(value) in _LITERALS:
        return repr(value).replace("'", '"') if isinstance(value, str) else repr(value)
    if isinstance(value, (torch.dtype, torch.memory_format)):
        return str(value)
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return f"slice({', '.join(literal(part, name) for part in parts)})"
    if isinstance(value, EllipsisType):
        return "..."
    if isinstance(value, dict):
        entries = (f"{literal(k)}: {literal(v, name)}" for k, v in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, (list, tuple)):
        items = [literal(item, name) for item in value]
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    raise NotWritableError(f"a value of type {type(value).__name__}")


def accessor(root: nn.Module, path: str) -> str:
    """Write how a part of a module is reached, e.g. ``.blocks[0].conv``.

    Args:
        root: the module.
        path: dotted path of a module, parameter or buffer below it.
    """
    text, here = "", root
    for part in path.split("."):
        if isinstance(here, (nn.Sequential, nn.ModuleList)) and part.isdigit():
            text += f"[{part}]"
        elif isinstance(here, nn.ModuleDict):
            text += f"[{literal(part)}]"
        elif part.isidentifier():
            text += f".{part}"
        else:
            raise NotWritableError(f"a module of the name {part!r}")
        here = getattr(here, part)
    return text


def expression(node: fx.Node, root: nn.Module, name: Name) -> str:
    """Write what a node computes.

    Args:
        node: a node that calls something or gives a weight.
        root: the module that was traced.
        name: gives the variables of other nodes.

    Raises:
        NotWritableError: it calls something that is not PyTorch's.
    """
    target: Any = node.target
    args = [literal(argument, name) for argument in node.args]
    keywords = [f"{key}={literal(value, name)}" for key, value in node.kwargs.items()]
    match node.op:
        case "get_attr":
            if target not in _state_names(root):
                raise NotWritableError("a tensor that is no parameter and no buffer")
            return f"self{accessor(root, target)}"
        case "call_module":
            return f"self{accessor(root, target)}({', '.join([*args, *keywords])})"
        case "call_method":
            return f"{args[0]}.{target}({', '.join([*args[1:], *keywords])})"
    if target is getattr:
        return f"{args[0]}.{node.args[1]}"
    if target is operator.getitem:
        return f"{args[0]}[{_index(node.args[1], name)}]"
    if target is operator.neg:
        return f"-{args[0]}"
    if target in INFIX:
        return f" {INFIX[target]} ".join(f"({a})" if a.startswith("-") else a for a in args)
    return f"{_function(target)}({', '.join([*args, *keywords])})"


def _state_names(root: nn.Module) -> set[str]:
    named = (root.named_parameters, root.named_buffers)
    return {name for of in named for name, _ in of(remove_duplicate=False)}


def _index(value: Any, name: Name) -> str:
    if isinstance(value, slice):
        ends = ["" if p is None else literal(p, name) for p in (value.start, value.stop)]
        step = "" if value.step is None else f":{literal(value.step, name)}"
        return ":".join(ends) + step
    if isinstance(value, tuple) and value:
        return ", ".join(_index(item, name) for item in value)
    return literal(value, name)


def _function(target: Any) -> str:
    name = getattr(target, "__name__", "")
    for prefix, namespace in _NAMESPACES.items():
        if name and getattr(namespace, name, None) is target:
            return f"{prefix}.{name}"
    if getattr(builtins, name, None) is target:
        return str(name)
    raise NotWritableError(f"the function {name or target}")
