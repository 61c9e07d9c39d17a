"""The `forward` of one module as code: its parts are called, not looked into."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from hwnas.torch_source.expressions import INFIX, NotWritableError, expression, literal
from hwnas.torch_source.structure import Structure, structure

_RESERVED = {"self", "torch", "nn", "F", "Tensor", "math", "operator"}


@dataclass(frozen=True)
class Forward:
    """What `forward` is written as.

    Attributes:
        lines: the method, from ``def`` on, without indentation.
        calls: how many arguments each part is called with, by its path.
    """

    lines: tuple[str, ...]
    calls: Mapping[str, int]


def forward_code(module: nn.Module, arguments: int) -> Forward:
    """Trace a module in training and evaluation mode, and write what it computes.

    Args:
        module: a module with a `forward` of its own; it is left as it is.
        arguments: how many tensors it is called with.

    Raises:
        NotWritableError: it cannot be traced, or computes something that is not PyTorch's.
    """
    key = structure(module)
    if key is None:
        return _forward_code(module, arguments)
    if (key, arguments) not in _written:
        _written[key, arguments] = _forward_code(module, arguments)
    return _written[key, arguments]


_written: dict[tuple[Structure, int], Forward] = {}
"""Methods that were written before: cells of a network and networks of a space have many alike."""


def _forward_code(module: nn.Module, arguments: int) -> Forward:
    names = _names(module, arguments)
    calls: dict[str, int] = {}
    graphs = [_trace(module, arguments, mode) for mode in (True, False)]
    training, evaluation = (_body(module, names, graph, calls) for graph in graphs)
    taken = ", ".join(["self", *(f"{name}: Tensor" for name in names)])
    head = f"def forward({taken}) -> {_returned(graphs)}:"
    body = _one_body(training, evaluation)
    return Forward((head, *(f"    {line}" for line in body)), calls)


def _returned(graphs: Sequence[fx.Graph]) -> str:
    """Write the type of what is returned."""
    found = {_kind(node.args[0]) for graph in graphs for node in graph.nodes if node.op == "output"}
    return found.pop() if len(found) == 1 else "object"


def _kind(value: Any) -> str:
    if isinstance(value, fx.Node):
        return "Tensor"
    parts = list(value.values() if isinstance(value, dict) else value)
    if not all(isinstance(part, fx.Node) for part in parts):
        return "object"
    if isinstance(value, dict):
        return "dict[str, Tensor]"
    return "list[Tensor]" if isinstance(value, list) else "tuple[Tensor, ...]"


def _one_body(training: list[str], evaluation: list[str]) -> list[str]:
    """Join the two modes: as one where they differ in nothing but what they say of the mode."""
    if training == evaluation:
        return training
    joined = [line.replace("training=True", "training=self.training") for line in training]
    other = [line.replace("training=False", "training=self.training") for line in evaluation]
    if joined == other:
        return joined
    return [
        "if self.training:",
        *(f"    {line}" for line in training),
        *evaluation,
    ]


class _PartsStay(fx.Tracer):
    """Looks into no part of the module, and gives buffers by their names."""

    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del m, module_qualified_name
        return True


_WITH: Mapping[int, Callable[[Any], Any]] = {
    0: lambda run: lambda self: run(self),
    1: lambda run: lambda self, a: run(self, a),
    2: lambda run: lambda self, a, b: run(self, a, b),
    3: lambda run: lambda self, a, b, c: run(self, a, b, c),
    4: lambda run: lambda self, a, b, c, d: run(self, a, b, c, d),
}
"""Methods that take so many arguments: what is not given is its default, and no unknown."""


def _names(module: nn.Module, arguments: int) -> list[str]:
    known = list(inspect.signature(type(module).forward).parameters.values())[1:]
    plain = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    spare = (f"x{i}" for i in itertools.count())
    names = [*plain, *itertools.islice(spare, max(0, arguments - len(plain)))][:arguments]
    return [f"{name}_" if name in _RESERVED else name for name in names]


def _trace(module: nn.Module, arguments: int, training: bool) -> fx.Graph:
    if arguments not in _WITH:
        raise NotWritableError(f"{arguments} arguments of {type(module).__name__}")
    kind = type(module)
    try:
        twin = copy.copy(module)
        twin.__class__ = type(kind.__name__, (kind,), {"forward": _WITH[arguments](kind.forward)})
        # Not `train`, which would change the parts that the original has too.
        twin.training = training
        return _PartsStay().trace(twin)
    except NotWritableError:
        raise
    except Exception as error:  # whatever a forward raises on tensors without values
        reason = " ".join(str(error).split())[:120]
        raise NotWritableError(f"{kind.__name__} cannot be traced ({reason})") from error


def _body(module: nn.Module, names: list[str], graph: fx.Graph, calls: dict[str, int]) -> list[str]:
    variables = _variables(graph, names)
    lines: list[str] = []
    nodes = [node for node in graph.nodes if node.op != "placeholder"]
    for node in nodes:
        if node.op == "output":
            lines.append(f"return {literal(node.args[0], variables.__getitem__)}")
            continue
        if node.op == "call_module":
            _note_call(node, calls)
        elif not node.users and node.target in INFIX:
            continue  # a sum that nobody looks at
        text = expression(node, module, variables.__getitem__)
        lines.append(f"{variables[node]} = {text}" if node.users else text)
    return _without_last_name(lines)


def _note_call(node: fx.Node, calls: dict[str, int]) -> None:
    path, count = str(node.target), len(node.args)
    # Parts of PyTorch's own classes may be called in any way.
    if node.kwargs or calls.setdefault(path, count) != count:
        calls[path] = -1


def _without_last_name(lines: list[str]) -> list[str]:
    """Return what is computed last without naming it first."""
    if len(lines) > 1 and " = " in lines[-2]:
        name, _, text = lines[-2].partition(" = ")
        if lines[-1] == f"return {name}":
            return [*lines[:-2], f"return {text}"]
    return lines


def _variables(graph: fx.Graph, names: list[str]) -> dict[fx.Node, str]:
    """Name results: one takes the name of what is used there for the last time, if any is."""
    last = {source: node for node in graph.nodes for source in node.all_input_nodes}
    variables: dict[fx.Node, str] = {}
    alive: dict[str, fx.Node] = {}
    free = iter(names)
    for node in graph.nodes:
        ended = [s for s in node.all_input_nodes if last[s] is node]
        if node.op == "placeholder":
            name = next(free)
        elif ended and node.op != "output":
            name = variables[ended[0]]
        else:
            name = _free_name(node.name, alive)
        for source in ended:
            alive.pop(variables[source], None)
        variables[node] = name
        alive[name] = node
    return variables


def _free_name(wanted: str, alive: Mapping[str, fx.Node]) -> str:
    candidates = (wanted, *(f"{wanted}_{i}" for i in range(1, len(alive) + 2)))
    return next(name for name in candidates if name not in alive and name not in _RESERVED)
