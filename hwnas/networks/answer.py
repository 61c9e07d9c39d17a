"""Which of a network's outputs is its answer, where it returns more than one tensor.

Of a dictionary, named tuple, dataclass, tuple, list, or any other object with public attributes,
whatever stands inside of whatever:

1. what the user named, by name (``logits``), index (``1``) or a path of both (``heads.0``), or
   `ALL`: all tensors of real numbers for each input, flattened and behind one another, (B, n);
2. else what is called ``logits``, else what is called ``out``;
3. else the only tensor of two dimensions, (B, K);
4. else the first tensor.

The same holds in training mode, where networks with auxiliary heads return these as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.tasks.task import AllOutputs, Output

Path = tuple[str | int, ...]
_LOG = logging.getLogger(__name__)
_NAMES = ("logits", "out")
ALL = "all"
"""The answer that is everything."""


_OTHERS = (
    " The others are left out, with the layers that they alone need: --classes outputs, or "
    "output='all' in Python, takes all."
)


def answer_for(output: Output) -> str | None:
    """Give what is wanted of networks that answer so: `ALL`, or the rule of this module."""
    return ALL if isinstance(output, AllOutputs) else None


@dataclass
class Answer:
    """Choose the answer of a network: a forward hook of the network.

    The choice is logged as a warning, once.

    Attributes:
        wanted: name, index or path of the answer, or `ALL`; None for the rule of this module.
    """

    wanted: str | int | None = None
    _said: set[str] = field(default_factory=set, repr=False)

    def __call__(self, network: nn.Module, args: Any, output: Any) -> Tensor | None:
        """Give the answer, or None for an output that is a tensor and stays as it is."""
        if self.wanted == ALL:
            return _joined((t, t.ndim == 1) for _, t in real_parts(output, len(args[0])))
        if isinstance(output, Tensor):
            return None
        path = answer_path(output, self.wanted)
        answer: Tensor = take(output, path)
        choice = f"{_text(path)} of {', '.join(_text(p) for p, _ in tensors_in(output))}"
        if choice not in self._said:
            self._said.add(choice)
            mode = " in training mode" if network.training else ""
            parts = len(_real_parts(output, len(args[0]))) if self.wanted is None else 1
            _LOG.warning(
                "The network returns a %s%s, whose answer is %s.%s",
                type(output).__name__,
                mode,
                choice,
                _OTHERS if parts > 1 else "",
            )
        return answer

    def __deepcopy__(self, memo: Any) -> Answer:
        """Stay one object in copies of the network, which say the same."""
        return self


def answer_path(output: Any, wanted: str | int | None = None) -> Path:
    """Give where in an output the answer stands.

    Args:
        output: what a network returned, without tensors also.
        wanted: name, index or path; None for the rule of this module.

    Returns:
        The keys one after another; none for a tensor.

    Raises:
        InvalidValueError: there is no tensor, or none where it is wanted.
    """
    found = [path for path, _ in tensors_in(output)]
    if not found:
        raise InvalidValueError(
            f"`model` must return a tensor, or some in tuples, dictionaries or objects, but "
            f"got {type(output).__name__}."
        )
    if wanted is not None and not isinstance(output, Tensor):
        keys = tuple(str(wanted).split("."))
        inside = [path for path in found if tuple(map(str, path[: len(keys)])) == keys]
        if not inside:
            raise InvalidValueError(
                f"`output` must be one of {', '.join(map(_text, found))}, but got {wanted!r}."
            )
        found = inside
    for name in _NAMES:
        if named := [path for path in found if name in path]:
            return named[0]
    flat = [path for path in found if take(output, path).ndim == 2]
    return flat[0] if len(flat) == 1 else found[0]


def tensors_in(output: Any) -> Iterator[tuple[Path, Tensor]]:
    """Yield the tensors in a network's output with the keys that lead there, in their order."""
    yield from _tensors_in(output, ())


def _tensors_in(output: Any, above: tuple[Any, ...]) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(output, Tensor):
        yield (), output
    if any(output is outer for outer in above):
        return  # an object that holds itself
    for key, member in _members(output):
        for path, tensor in _tensors_in(member, (*above, output)):
            yield (key, *path), tensor


def take(output: Any, path: Path) -> Any:
    """Give what stands at a path of `answer_path`."""
    for key, is_name in zip(path, names_in(output, path), strict=True):
        output = getattr(output, str(key)) if is_name else output[key]
    return output


def names_in(output: Any, path: Path) -> tuple[bool, ...]:
    """Tell of each key of a path whether it is the name of an attribute, not of an item."""
    names: list[bool] = []
    for key in path:
        names.append(isinstance(key, str) and not isinstance(output, Mapping))
        output = getattr(output, str(key)) if names[-1] else output[key]
    return tuple(names)


def real_parts(output: Any, inputs: int) -> list[tuple[Path, Tensor]]:
    """List what an output says of each of its inputs in real numbers, with the keys to it.

    Args:
        output: what a network returned.
        inputs: number B of the inputs; tensors (B, ...) are of them.

    Raises:
        InvalidValueError: there is no such tensor.
    """
    if found := _real_parts(output, inputs):
        return found
    raise _none_of_each(output, inputs)


def _none_of_each(output: Any, inputs: int) -> InvalidValueError:
    shown = ", ".join(_described(p, t) for p, t in tensors_in(output)) or type(output).__name__
    elsewhere = any(t.is_floating_point() and inputs in t.shape for _, t in tensors_in(output))
    hint = ": let the inputs come first, as `y.transpose(0, 1)` does" if elsewhere else ""
    return InvalidValueError(
        f"`model` must return real numbers for each of its {inputs} inputs, (B, ...), but it "
        f"returns {shown}{hint}."
    )


def _real_parts(output: Any, inputs: int) -> list[tuple[Path, Tensor]]:
    return [
        (path, tensor)
        for path, tensor in tensors_in(output)
        if tensor.is_floating_point() and tensor.shape[:1] == (inputs,)
    ]


def say_left_out(output: Any, parts: Sequence[Part]) -> None:
    """Warn of tensors of an output that are none of its parts."""
    kept = {part.path for part in parts}
    if left := [_described(p, t) for p, t in tensors_in(output) if p not in kept]:
        _LOG.warning(
            "Of what the network returns, no real numbers for each of its inputs (B, ...), and so "
            "left out: %s.",
            ", ".join(left),
        )


def _described(path: Path, tensor: Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{_text(path)} {tuple(tensor.shape)} of {kind}" if path else f"{tuple(tensor.shape)}"


def _joined(parts: Iterable[tuple[Tensor, bool]]) -> Tensor:
    """Lay tensors behind one another, (B,) where one is said to be a number an input."""
    flat = [tensor.unsqueeze(1) if alone else tensor.flatten(1) for tensor, alone in parts]
    return flat[0] if len(flat) == 1 else torch.cat(flat, 1)


class Part(NamedTuple):
    """Where one of several answers stands.

    Attributes:
        path: the keys that lead there.
        names: see `names_in`.
        shape: of what it is for one input.
    """

    path: Path
    names: tuple[bool, ...]
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """Its keys between full stops, e.g. ``heads.0``."""
        return ".".join(map(str, self.path))


class AnsweringAll(nn.Module):
    """A network that returns all its real numbers (B, n), see `ALL`.

    Attributes:
        network: the network, which returns what it always did.
        parts: where the numbers stand, in their order, in evaluation mode.
    """

    def __init__(
        self, network: nn.Module, parts: Sequence[Part], training_parts: Sequence[Part]
    ) -> None:
        """Wrap a network that gives these parts, and others in training mode, as many do."""
        super().__init__()
        self.network = network
        # Known beforehand, since what is traced does not say what it stands for.
        self.parts, self.training_parts = tuple(parts), tuple(training_parts)

    def forward(self, x: Tensor) -> Any:
        """Run the network, and lay what it gives behind one another."""
        return _joined((tensor, not part.shape) for part, tensor in self.apart(x))

    def apart(self, x: Tensor) -> list[tuple[Part, Any]]:
        """Run the network, and give its parts, each (B, ...)."""
        output: Any = self.network(x)
        parts = self.training_parts if self.training else self.parts
        return [(part, _at(output, part.path, part.names)) for part in parts]


class AnsweringApart(AnsweringAll):
    """A network that returns a tuple of the parts that `AnsweringAll` joins."""

    def forward(self, x: Tensor) -> Any:
        """Run the network, and give its parts."""
        return tuple(tensor for _, tensor in self.apart(x))


def parts_of(output: Any, inputs: int, more: Any = None) -> list[Part]:
    """List where the real numbers of an output stand, see `real_parts`.

    Args:
        output: what a network returned.
        inputs: number B of the inputs.
        more: what it returned for one input more, where it ran. What is as long as before, as a
            state of two layers of two inputs is, or has other sizes, as a matrix of all pairs of
            inputs has, is then not of each input.

    Raises:
        InvalidValueError: there is no such tensor.
    """
    found = real_parts(output, inputs)
    if more is not None:
        sizes = {path: t.shape[1:] for path, t in _real_parts(more, inputs + 1)}
        found = [(path, t) for path, t in found if sizes.get(path) == t.shape[1:]]
    if not found:
        raise _none_of_each(output, inputs)
    return [Part(path, names_in(output, path), tuple(t.shape[1:])) for path, t in found]


def as_built(network: nn.Module) -> nn.Module:
    """Give the user's network, which returns all that it does, where it is wrapped for that."""
    return network.network if isinstance(network, AnsweringAll) else network


def _at(output: Any, path: Path, names: tuple[bool, ...]) -> Any:
    for key, is_name in zip(path, names, strict=True):
        output = getattr(output, str(key)) if is_name else output[key]
    return output


class Answering(nn.Module):
    """A network that returns nothing but its answer."""

    def __init__(
        self, network: nn.Module, path: Path, names: tuple[bool, ...], *, among: int = 1
    ) -> None:
        """Wrap a network whose answer stands at a path, see `names_in`, among so many tensors."""
        super().__init__()
        self.network = network
        self.path = path
        # Known beforehand, since what is traced does not say what it stands for.
        self.names = names
        self.among = among

    def forward(self, x: Tensor) -> Tensor:
        """Run the network, and give its answer."""
        found: Tensor = _at(self.network(x), self.path, self.names)
        return found


def _members(output: Any) -> list[tuple[str | int, Any]]:
    if isinstance(output, Mapping):
        return list(output.items())
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(zip(output._fields, output, strict=True))
    if isinstance(output, (tuple, list)):
        return list(enumerate(output))
    if is_dataclass(output) and not isinstance(output, type):
        return [(f.name, getattr(output, f.name)) for f in fields(output)]
    if isinstance(output, (Tensor, nn.Module, type)):
        return []
    slots = [name for kind in type(output).__mro__ for name in vars(kind).get("__slots__", ())]
    names = [*getattr(output, "__dict__", ()), *(name for name in slots if hasattr(output, name))]
    return [(name, getattr(output, name)) for name in names if not name.startswith("_")]


def _text(path: Path) -> str:
    return ".".join(map(str, path)) or "the tensor"
