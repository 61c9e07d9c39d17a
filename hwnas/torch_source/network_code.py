"""A built network as code: a class for each of its own classes, and a function that builds it."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hwnas.torch_source.constructors import constructor, torch_class
from hwnas.torch_source.expressions import NotWritableError, accessor, literal
from hwnas.torch_source.forward_code import Forward, forward_code

WIDTH = 96
_ROW = 3
"""Equal modules in a row that are written once."""
_SMALL = 64
"""Numbers of a buffer that are written one by one where no file of weights keeps them."""


def network_code(network: nn.Module) -> str:
    """Write classes and the function ``build() -> nn.Module`` that makes such a network.

    Names of modules, parameters and buffers stay as they are, so the state fits. Weights are those
    that PyTorch's constructors draw, not the network's.

    Args:
        network: the network, called with one tensor; it is left as it is.

    Raises:
        NotWritableError: something in it is not written as plain code; says what.
    """
    classes = _Classes()
    made = classes.value(network, 1)
    lines = [f"network = {made}", *_afterwards(network), "return network"]
    if len(lines) == 2:
        lines = [f"return {made}"]
    build = "def build() -> nn.Module:\n" + textwrap.indent(
        "\n".join(['"""Build the network with weights that PyTorch draws."""', *lines]), " " * 4
    )
    return "\n\n\n".join([*classes.texts, build]) + "\n"


class _Classes:
    """The classes that were written so far; equal ones are one."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[tuple[str, str], str] = {}
        self._names: set[str] = set()

    def value(
        self, module: nn.Module, arguments: int | None, calls: Mapping[str, int] | None = None
    ) -> str:
        """Write the expression that makes a module.

        Args:
            module: the module.
            arguments: how many tensors it is called with; None where nobody calls it.
            calls: the same for its parts, by their path, where others call them.
        """
        calls = calls or {}
        _check(module)
        own = module._parameters or module._buffers
        forward = type(module).forward
        if forward is nn.Sequential.forward and not own:
            return self._sequential(module, calls)
        if type(module) in (nn.ModuleList, nn.ModuleDict):
            return self._container(module, calls)
        kind = torch_class(module)
        if kind is not None:
            return constructor(module, kind)
        if arguments is None or arguments < 0:
            how = "not called" if arguments is None else "called in several ways"
            raise NotWritableError(f"{type(module).__name__}, which is {how}")
        return f"{self._class(module, forward_code(module, arguments))}()"

    def _sequential(self, module: nn.Module, calls: Mapping[str, int]) -> str:
        parts = {n: self._part(part, n, {n: 1, **calls}) for n, part in _parts(module)}
        if list(parts) == [str(i) for i in range(len(parts))]:
            return _call("nn.Sequential(", list(parts.values()), ")")
        entries = [f"({literal(name)}, {text})" for name, text in parts.items()]
        return _call("nn.Sequential(OrderedDict([", entries, "]))")

    def _container(self, module: nn.Module, calls: Mapping[str, int]) -> str:
        parts = {name: self._part(part, name, calls) for name, part in _parts(module)}
        if isinstance(module, nn.ModuleList):
            return _call("nn.ModuleList([", list(parts.values()), "])")
        entries = [f"{literal(name)}: {text}" for name, text in parts.items()]
        return _call("nn.ModuleDict({", entries, "})")

    def _part(self, part: nn.Module, path: str, calls: Mapping[str, int]) -> str:
        """Write a part of a module; `calls` tell how its parts are called, by their path."""
        start = f"{path}."
        below = {p.removeprefix(start): n for p, n in calls.items() if p.startswith(start)}
        return self.value(part, calls.get(path), below)

    def _class(self, module: nn.Module, forward: Forward) -> str:
        lines = ["def __init__(self) -> None:", "    super().__init__()"]
        members = [*_weights(module)]
        for name, part in _parts(module):
            if not name.isidentifier():
                raise NotWritableError(f"a module of the name {name!r}")
            members.append(f"self.{name} = {self._part(part, name, forward.calls)}")
        lines += [textwrap.indent(member, " " * 4) for member in members]
        body = textwrap.indent("\n".join([*lines, "", *forward.lines]), " " * 4)
        wanted = type(module).__name__.lstrip("_")
        if (wanted, body) not in self._known:
            self._known[wanted, body] = name = self._free(wanted)
            self.texts.append(f"class {name}(nn.Module):\n{body}")
        return self._known[wanted, body]

    def _free(self, wanted: str) -> str:
        names = (wanted, *(f"{wanted}{i}" for i in range(2, len(self._names) + 3)))
        taken = self._names | {"Tensor", "OrderedDict", "F"}
        name = next(n for n in names if n not in taken)
        self._names.add(name)
        return name


def _call(start: str, items: list[str], end: str) -> str:
    """Write a call on one line if it is short; equal modules in a row are written once."""
    items = [
        text if len(run) < _ROW else f"*({text} for _ in range({len(run)}))"
        for text, same in itertools.groupby(items)
        for run in [list(same)]
        for text in ([text] if len(run) >= _ROW else run)
    ]
    line = f"{start}{', '.join(items)}{end}"
    if len(line) <= WIDTH - 28 and "\n" not in line:
        return line
    inner = textwrap.indent(",\n".join(items), " " * 4)
    return f"{start}\n{inner},\n{end}"


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, part in module._modules.items():
        if part is not None:
            yield name, part


def _check(module: nn.Module) -> None:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    if any(hooks) or "forward" in vars(module):
        raise NotWritableError(f"hooks or a replaced forward of {type(module).__name__}")
    tensors = [*module._parameters.values(), *module._buffers.values()]
    other = [t for t in tensors if t is not None and t.is_floating_point()]
    if wrong := [t.dtype for t in other if t.dtype != torch.float32]:
        raise NotWritableError(f"weights of type {wrong[0]}")


def _weights(module: nn.Module) -> Iterator[str]:
    """Write parameters and buffers of a class; what a file of weights has is zeros here."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield f"self.{name} = nn.Parameter({_filled(parameter, keep=False)})"
    for name, buffer in module._buffers.items():
        if buffer is not None:
            lost = name in module._non_persistent_buffers_set
            more = ", persistent=False" if lost else ""
            yield f"self.register_buffer({literal(name)}, {_filled(buffer, keep=lost)}{more})"


def _filled(tensor: Tensor, keep: bool) -> str:
    """Write a tensor of one value, of zeros, or, to be kept, of a few values."""
    values = tensor.detach().flatten().tolist()
    shape = literal(tuple(tensor.shape))
    dtype = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    if len(set(values)) == 1:
        simple = {0: "zeros", 1: "ones"}.get(values[0])
        if simple is not None:
            return f"torch.{simple}({shape}{dtype})"
        return f"torch.full({shape}, {literal(values[0])}{dtype})"
    if not keep:
        return f"torch.zeros({shape}{dtype})"
    if len(values) > _SMALL:
        raise NotWritableError("a large buffer that no state keeps")
    return f"torch.tensor({literal(tensor.tolist())}{dtype})"


def _afterwards(network: nn.Module) -> Iterator[str]:
    """Write what is shared and what is not trained."""
    seen: dict[int, str] = {}
    shared: list[str] = []
    for path, module in network.named_modules(remove_duplicate=False):
        if any(path.startswith(f"{other}.") for other in shared):
            continue
        if (first := seen.setdefault(id(module), path)) != path:
            shared.append(path)
            yield f"network{accessor(network, path)} = network{accessor(network, first)}"
    weights: dict[int, str] = {}
    for path, weight in network.named_parameters(remove_duplicate=False):
        if any(path.startswith(f"{other}.") for other in shared):
            continue
        text = f"network{accessor(network, path)}"
        if (first := weights.setdefault(id(weight), text)) != text:
            yield f"{text} = {first}"
        elif not weight.requires_grad:
            yield f"{text}.requires_grad_(False)"
