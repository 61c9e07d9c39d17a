"""A network of the user's own and what it gets, as the functions of `import hwnas` take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError
from hwnas.tasks.task import Task, TensorSpec

if TYPE_CHECKING:
    from torch import nn
else:
    nn = deferred("torch.nn")

Input: TypeAlias = Task | TensorSpec | Sequence[int]
"""What a network gets: a task, an input of any kind, or (C, H, W), (C, T) or (F,) of numbers."""


def check_network(model: object, name: str = "model") -> nn.Module:
    """Insist on a network.

    Raises:
        InvalidValueError: it is something else; a class is told apart from its instances.
    """
    if isinstance(model, nn.Module):
        return model
    got = f"the class {model.__name__}: call it" if isinstance(model, type) else repr(model)
    raise InvalidValueError(f"`{name}` must be a torch.nn.Module, but got {got}.")


def read_input(given: Input) -> Task | TensorSpec:
    """Read what a network gets.

    Raises:
        InvalidValueError: it is no task, no input, and no shape of an image, signal or vector.
    """
    if isinstance(given, Task | TensorSpec):
        return given
    try:
        return TensorSpec.of(tuple(given))
    except (TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, InvalidValueError) else f"got {given!r}."
        raise InvalidValueError(
            f"`input` must be a shape such as (C, H, W), a TensorSpec or a Task: {reason}"
        ) from None


def input_spec(given: Input) -> TensorSpec:
    """Give the input of what `read_input` reads."""
    read = read_input(given)
    return read.input if isinstance(read, Task) else read
