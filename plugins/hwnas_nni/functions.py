"""A function of a trial as a model space of NNI, by the names of its choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nni
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import model_context
from nni.nas.space.frozen import current_model

from hwnas.errors import InvalidValueError
from hwnas.functions.networks_of import networks_of, task_of
from hwnas.spaces.assignments import Assignment
from hwnas.spaces.functions import FunctionSpace


class FunctionModelSpace(ModelSpace):
    """All networks that a function builds, by what it asks its trial for.

    Every parameter that can exist is a label of NNI, see `hwnas.spaces.choices.Declared.options`;
    those that do not exist for the others are left alone. A `ParetoStrategy` submits each class of
    equal networks once and nothing that the function refuses, which other strategies may. A frozen
    one is a module that runs its `network`.

    Args:
        function: ``module:name``, which every process imports that NNI runs trials in, or the
            function itself; see `hwnas.spaces.functions.FunctionSpace`.
        input: shape of what the networks get: (C, H, W) of an image, (C, T) of a signal, (F,) of a
            vector, (T,) of tokens.
        classes: what they tell apart.
        vocabulary: number of different tokens; None for real numbers.

    Raises:
        HwnasError: there is no such function, it asks for what is not finite, or the sizes are
            none of an input.
    """

    def __init__(
        self,
        function: str | Callable[[Any], Any],
        input: Sequence[int] | int,
        classes: int,
        vocabulary: int | None = None,
    ) -> None:
        super().__init__()
        sample = current_model()
        space = space_of((function, input, classes, vocabulary), {})
        if sample is None:
            for name, options in space.options.items():
                self.add_mutable(nni.choice(name, list(options.values)))
        else:
            self.network = space.build(space.decode(sample))

    def forward(self, x: Any) -> Any:
        """Run the network of a frozen space."""
        return self.network(x)

    def freeze(self, sample: Mapping[str, Any]) -> FunctionModelSpace:
        """Build the network of a sample."""
        self.validate(sample)
        with model_context(dict(sample)):
            return type(self)(*self.trace_args, **self.trace_kwargs)


def space_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> FunctionSpace:
    """Give the search space of a model space's arguments.

    Raises:
        InvalidValueError: they name something else than a function of a trial.
    """
    names = ("function", "input", "classes", "vocabulary")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    shape = given["input"]
    shape = shape if isinstance(shape, int) else tuple(shape)
    return _space_of(given["function"], shape, given["classes"], given.get("vocabulary"))


@lru_cache(maxsize=8)
def _space_of(
    function: Any, shape: Sequence[int] | int, classes: int, vocabulary: int | None
) -> FunctionSpace:
    """Make a space once: it remembers what its function asks for."""
    space, _ = networks_of(function, task_of(None, shape, classes, vocabulary, "gaussian"))
    if isinstance(space, FunctionSpace):
        return space
    raise InvalidValueError(
        f"`function` must be a function of a trial, but {function} is a {type(space).__name__}."
    )


@dataclass(frozen=True)
class FunctionCodec:
    """The way between choices and samples, which hold all labels; see `hwnas_nni.codec.Codec`.

    Attributes:
        space: the networks of the function.
    """

    space: FunctionSpace

    @classmethod
    def of(
        cls, args: Sequence[Any], kwargs: Mapping[str, Any], labels: Iterable[str]
    ) -> FunctionCodec:
        """Make the codec of a model space from its arguments and the labels of its choices.

        Raises:
            InvalidValueError: there are labels of something else, such as of an evaluator.
        """
        space = space_of(args, kwargs)
        foreign = [label for label in labels if label not in space.options]
        if foreign:
            raise InvalidValueError(
                f"`evaluator` must have no choices of its own beside {space.target}, but has "
                f"{', '.join(foreign)}: let the function ask for them."
            )
        return cls(space)

    def to_sample(self, arch: Assignment) -> dict[str, Any]:
        """Give what was chosen, and the first option of what does not exist."""
        first = {name: options.values[0] for name, options in self.space.options.items()}
        return first | dict(arch.chosen)

    def from_sample(self, sample: Mapping[str, Any]) -> Assignment:
        """Give the architecture of a sample; `InvalidArchitectureError` if it is none."""
        return self.space.decode(sample)
