"""What a network is for: the tensor that it gets and the answer that it gives.

How known tasks are spelled in these terms:

- CIFAR-10 is `Logits(10)` of an image of shape (3, 32, 32);
- segmentation into 21 classes is `Map(21)` of an image;
- topic of a text of 64 words is `Logits(4)` of tokens, `TensorSpec((64,), "tokens", 30_000)`;
- a language model is `NextToken(V)` of tokens of the same vocabulary V;
- the heart rate from two leads is `Regression(1)` of a signal of shape (2, 1_000);
- a plant from 20 measured features is `Logits(3)` of a vector of shape (20,);
- a picture from a picture, e.g. surface normals, is `RegressionMap(3)` of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from hwnas.errors import InvalidValueError, unknown_name

Kind = Literal["image", "tokens", "signal", "vector"]
_AXES: Mapping[Kind, tuple[str, ...]] = {
    "image": ("C", "H", "W"),
    "tokens": ("T",),
    "signal": ("C", "T"),
    "vector": ("F",),
}
_REAL: Mapping[int, Kind] = {1: "vector", 2: "signal", 3: "image"}
"""Inputs of real numbers by their number of axes."""


def told_of_volumes(shape: Sequence[int]) -> str:
    """Say what to do with a video or a volume; nothing of another shape, or of a batch of one."""
    if len(shape) != 4 or shape[0] == 1:
        return ""
    channels, depth, height, width = shape
    return (
        f"; of a video or volume give {channels * depth},{height},{width}, and let the network "
        f"begin with x.unflatten(1, ({channels}, {depth}))"
    )


@dataclass(frozen=True)
class TensorSpec:
    """One input of a network, without the batch.

    Attributes:
        shape: (C, H, W) of an image, (T,) of tokens, (C, T) of a signal, (F,) of a vector.
        kind: ``image``, ``signal`` and ``vector`` are real numbers, ``tokens`` are integers.
        vocabulary: number V of different tokens, which are 0 to V - 1; None for real numbers.

    Raises:
        InvalidValueError: the shape is not one of this kind, or `vocabulary` does not fit it.
        UnknownNameError: there is no such kind.
    """

    shape: tuple[int, ...]
    kind: Kind = "image"
    vocabulary: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join(map(str, self.shape))})"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown_name("kind", self.kind, get_args(Kind))
        axes = _AXES[self.kind]
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) != len(axes) or min(self.shape) < 1:
            raise InvalidValueError(
                f"`shape` of {self.kind} must be ({', '.join(axes)}) with positive numbers, but "
                f"got {self.shape}."
            )
        fits = self.vocabulary is None if self.kind != "tokens" else (self.vocabulary or 0) >= 1
        if not fits:
            raise InvalidValueError(
                f"`vocabulary` must be a positive number of different tokens, and None for real "
                f"numbers, but got {self.vocabulary} for {self.kind}."
            )

    @classmethod
    def of(cls, shape: Sequence[int], vocabulary: int | None = None) -> TensorSpec:
        """Make the input of a shape: an image, a signal or a vector, or tokens of a vocabulary.

        Raises:
            InvalidValueError: the shape is none of them.
        """
        if len(shape) not in _REAL:
            raise InvalidValueError(
                f"`input` must be (C, H, W) of an image, (C, T) of a signal, (F,) of a vector or "
                f"(T,) of tokens, but got {tuple(shape)}: leave the batch out"
                f"{told_of_volumes(shape)}."
            )
        return cls(tuple(shape), _REAL[len(shape)] if vocabulary is None else "tokens", vocabulary)


@dataclass(frozen=True)
class Logits:
    """One of K classes: the network returns (B, K) logits.

    Attributes:
        classes: classes K.
    """

    classes: int

    def __post_init__(self) -> None:
        _check_positive("classes", self.classes)


@dataclass(frozen=True)
class Map:
    """One of K classes at every position of an image or signal: (B, K, ...) logits.

    Attributes:
        classes: classes K.
    """

    classes: int

    def __post_init__(self) -> None:
        _check_positive("classes", self.classes)


@dataclass(frozen=True)
class NextToken:
    """The token that follows each token: (B, T, V) logits.

    Attributes:
        vocabulary: number V of different tokens.
    """

    vocabulary: int

    def __post_init__(self) -> None:
        _check_positive("vocabulary", self.vocabulary)


@dataclass(frozen=True)
class Regression:
    """Real numbers: the network returns (B, n).

    Attributes:
        targets: numbers n.
    """

    targets: int

    def __post_init__(self) -> None:
        _check_positive("targets", self.targets)


@dataclass(frozen=True)
class RegressionMap:
    """Real numbers at every position of an image or signal: the network returns (B, n, ...).

    Attributes:
        targets: numbers n at a position.
    """

    targets: int

    def __post_init__(self) -> None:
        _check_positive("targets", self.targets)


@dataclass(frozen=True)
class AllOutputs:
    """All that the network returns, e.g. a detector's maps of several sizes: (B, n) real numbers.

    Each tensor is flattened, and they stand behind one another; n is the network's own.
    """


Output = Logits | Map | NextToken | Regression | RegressionMap | AllOutputs


@dataclass(frozen=True)
class Task:
    """What networks are built for.

    Attributes:
        name: official name of the data set, as the benchmarks spell it, or the user's.
        input: what the network gets.
        output: what it answers.

    Raises:
        InvalidValueError: the output is not one of such an input.
    """

    name: str
    input: TensorSpec
    output: Output

    def __post_init__(self) -> None:
        if isinstance(self.output, NextToken):
            fits = self.output.vocabulary == self.input.vocabulary
        else:
            maps = isinstance(self.output, (Map, RegressionMap))
            fits = not (maps and self.input.kind in ("tokens", "vector"))
        if not fits:
            raise InvalidValueError(
                f"`output` must be one of its input: a Map or RegressionMap of an image or signal, "
                f"a NextToken of the tokens' vocabulary, but got {self}."
            )

    def __str__(self) -> str:
        return f"{self.output!r} of {self.input}"

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels of one input: () for its class, (H, W) for those of its positions.

        It is () too where the network alone says how many numbers it returns.
        """
        match self.output:
            case Logits() | AllOutputs():
                return ()
            case Regression(targets):
                return (targets,)
            case RegressionMap(targets):
                return (targets, *self.input.shape[1:])
            case _:
                return self.input.shape if self.input.kind == "tokens" else self.input.shape[1:]

    @property
    def settings(self) -> dict[str, Any]:
        """Give what tells networks for this task from those for others, as literals.

        Its texts stand in cache keys: the classes and shape of images keep theirs for ever.
        """
        if self.input.kind == "image" and isinstance(self.output, Logits):
            return {"num_classes": self.output.classes, "in_shape": self.input.shape}
        output = {type(self.output).__name__: next(iter(asdict(self.output).values()), None)}
        return {"output": output, "input": asdict(self.input)}

    def as_dict(self) -> dict[str, Any]:
        """Give what `from_dict` reads, as JSON values."""
        return {"name": self.name, **self.settings}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Task:
        """Read what `as_dict` gave.

        Raises:
            InvalidValueError: it is something else.
        """
        try:
            if "in_shape" in values:
                return image_task(values["num_classes"], values["in_shape"], values["name"])
            ((kind, number),) = values["output"].items()
            outputs = {o.__name__: o for o in get_args(Output)}
            output = outputs[kind]() if number is None else outputs[kind](number)
            return cls(values["name"], TensorSpec(**values["input"]), output)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidValueError(
                f"`task` must be what `Task.as_dict` gives, but got {dict(values)} ({error!r})."
            ) from None


def image_task(classes: int, in_shape: tuple[int, ...], name: str = "images") -> Task:
    """Make the task to tell K classes of images of shape (C, H, W) apart."""
    return Task(name, TensorSpec(tuple(in_shape)), Logits(classes))


def image_classes(task: Task, who: str) -> tuple[int, tuple[int, int, int]]:
    """Give the classes K and the (C, H, W) of a task, for those who serve no other kind.

    Args:
        task: the task.
        who: whoever needs it, for the error.

    Raises:
        InvalidValueError: the task is not to tell classes of images apart.
    """
    if task.input.kind != "image" or not isinstance(task.output, Logits):
        raise InvalidValueError(
            f"`task` must be to tell classes of images apart for {who}, but got {task}."
        )
    channels, height, width = task.input.shape
    return task.output.classes, (channels, height, width)


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InvalidValueError(f"`{name}` must be at least 1, but got {value}.")
