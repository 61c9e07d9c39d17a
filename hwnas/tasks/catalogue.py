"""The tasks that have a name: the data sets of the published benchmarks, and any sizes.

``1x96x96:7`` is seven classes of images of shape (1, 96, 96), ``2x1000:5`` five of signals,
``20:3`` three of vectors of 20 numbers, and ``64:4:30000`` four of texts of 64 tokens out of
30,000. Other answers have a word in front of their number: ``3x64x64:map5`` is five classes at
every position, ``2x1000:numbers3`` three real numbers, ``3x64x64:numbermap1`` one at every
position; ``64:next:30000`` is the next token, ``3x64x64:outputs`` all that a network returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.tasks.task import (
    AllOutputs,
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    Task,
    TensorSpec,
    image_task,
)

_ROOM = TensorSpec((3, 256, 256))
"""A photograph of a room, as TransNAS-Bench-101 takes them from Taskonomy."""

TASKS = {
    task.name: task
    for task in (
        image_task(10, (3, 32, 32), "cifar10"),
        image_task(100, (3, 32, 32), "cifar100"),
        image_task(120, (3, 16, 16), "ImageNet16-120"),
        image_task(1000, (3, 224, 224), "ImageNet"),
        # The small data sets that vision transformers are trained on, at the size of ImageNet.
        image_task(100, (3, 224, 224), "cifar100-224"),
        image_task(102, (3, 224, 224), "flowers102"),
        image_task(4, (3, 224, 224), "chaoyang"),
        # Penn Treebank, in the pieces that NAS-Bench-NLP trains with.
        Task("ptb", TensorSpec((35,), "tokens", 10_000), NextToken(10_000)),
        # The seven tasks of TransNAS-Bench-101 (Duan et al., CVPR 2021).
        image_task(75, _ROOM.shape, "class_object"),
        image_task(47, _ROOM.shape, "class_scene"),
        # Which of 1,000 permutations the 3 x 3 tiles of 64 x 64 pixels are in.
        image_task(1000, (3, 192, 192), "jigsaw"),
        Task("room_layout", _ROOM, Regression(9)),
        Task("segmentsemantic", _ROOM, Map(17)),
        Task("normal", _ROOM, RegressionMap(3)),
        Task("autoencoder", _ROOM, RegressionMap(3)),
    )
}
_NEXT, _ALL = "next", "outputs"
_OUTPUTS: Mapping[str, Callable[[int], Output]] = {
    "": Logits, "map": Map, "numbers": Regression, "numbermap": RegressionMap,
}  # fmt: skip
"""Answers by the word in front of their number."""
_SIZES = re.compile(r"(\d{1,9}(?:x\d{1,9}){0,2}):([a-z]+\d{0,9}|\d{1,9})(?::(\d{1,9}))?", re.ASCII)


def get_task(name: str) -> Task:
    """Find a task by the official name of its data set, or make it of its sizes.

    Raises:
        UnknownNameError: there is no such data set; suggests the closest name.
        InvalidValueError: the sizes are none of an input.

    Example:
        >>> get_task("1x96x96:7").output
        Logits(classes=7)
    """
    if name in TASKS:
        return TASKS[name]
    if (sizes := _SIZES.fullmatch(name)) is None:
        raise unknown_name("dataset", name, TASKS)
    shape = tuple(map(int, sizes[1].split("x")))
    return sized_task(shape, sizes[2], None if sizes[3] is None else int(sizes[3]))


def is_sizes(name: str) -> bool:
    """Tell whether a name is of sizes, not of a data set."""
    return name not in TASKS and _SIZES.fullmatch(name) is not None


def sized_task(shape: Sequence[int], classes: int | str, vocabulary: int | None = None) -> Task:
    """Make the task to answer for inputs of a size; `get_task` makes it of its name again.

    Args:
        shape: (C, H, W) of an image, (C, T) of a signal, (F,) of a vector, (T,) of tokens.
        classes: classes K, or another answer: ``map5``, ``numbers3``, ``numbermap1``, ``next``, or
            ``outputs`` of all that a network returns.
        vocabulary: number of different tokens; None for real numbers.

    Raises:
        InvalidValueError: the shape or the answer is another, or `vocabulary` does not fit it.
    """
    spec = TensorSpec.of(shape, vocabulary)
    output = _output(classes, vocabulary)
    words = "" if vocabulary is None else f":{vocabulary}"
    sizes = f"{'x'.join(map(str, spec.shape))}:{output_text(output)}{words}"
    return Task(sizes, spec, output)


def _output(text: int | str, vocabulary: int | None) -> Output:
    if text == _NEXT:
        if vocabulary is None:
            raise InvalidValueError(
                "`vocabulary` must be the number of different tokens where `classes` is next, but "
                "got none: write --classes next,30000, or classes=next,vocabulary=30000 in the "
                "text of a space."
            )
        return NextToken(vocabulary)
    if text == _ALL:
        return AllOutputs()
    found = re.fullmatch(r"([a-z]*)(\d{1,9})", str(text), re.ASCII)
    if found is None or found[1] not in _OUTPUTS:
        raise InvalidValueError(
            f"`classes` must be a number of classes, or map5 (five at every position), numbers3, "
            f"numbermap1 (real numbers), next of tokens with a vocabulary, or outputs (all that a "
            f"network returns), but got {text!r}."
        )
    return _OUTPUTS[found[1]](int(found[2]))


def output_text(output: Output) -> int | str:
    """Give what `sized_task` makes an answer of: a number where it is classes of inputs."""
    if isinstance(output, NextToken | AllOutputs):
        return _NEXT if isinstance(output, NextToken) else _ALL
    number = output.classes if isinstance(output, Logits | Map) else output.targets
    word = next(word for word, kind in _OUTPUTS.items() if kind is type(output))
    return f"{word}{number}" if word else number


def name_of(task: Task) -> str:
    """Give a name that `get_task` makes an equal task of."""
    if task.name in TASKS and TASKS[task.name].settings == task.settings:
        return task.name
    return sized_task(task.input.shape, output_text(task.output), task.input.vocabulary).name
