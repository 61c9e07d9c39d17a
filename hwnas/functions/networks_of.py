"""What `hwnas.search` searches: a space, its text, or a function of a trial, and what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hwnas.data.own_images import OwnImages
from hwnas.errors import InvalidValueError
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.own import is_made_of_a_trial, own_space
from hwnas.spaces.space_text import keep, named_space, sized_text
from hwnas.spaces.trial import takes_argument
from hwnas.tasks.catalogue import get_task, name_of, output_text, sized_task
from hwnas.tasks.task import Task
from hwnas.typing import SearchSpace

Networks: TypeAlias = (
    SearchSpace[Any] | str | Callable[[Any], Any] | Sequence[Any] | Mapping[str, Any]
)
"""A search space or its text, a function of a trial that builds networks, or a list of models."""
_DUTIES = ("parameters", "decode", "build", "canonical_key", "sample")


def task_of(
    dataset: str | None,
    input: Sequence[int] | int | None,
    classes: int | str | None,
    vocabulary: int | None,
    images: str,
) -> Task | None:
    """Tell what networks are for; None where nothing is said, and a space says it.

    Raises:
        InvalidValueError: what is said contradicts itself, or is not enough.
        UnknownNameError: there is no such data set.
    """
    own = OwnImages.parse(images)
    given = {"dataset": dataset, "input": input, "classes": classes}
    names = [f"`{name}`" for name, value in given.items() if value is not None]
    if own is not None and not names:
        return own.task
    if own is not None and dataset is not None and own.says_task:
        raise InvalidValueError(
            "`dataset` must not be given with images of your own that say classes and size, but "
            "got both: leave it out, or save them without labels."
        )
    if own is not None and input is None and classes is not None:
        spec = known.input if isinstance(known := own.known, Task) else known
        input, vocabulary = spec.shape, spec.vocabulary if vocabulary is None else vocabulary
    if input is None and classes is None:
        return None if dataset is None else get_task(dataset)
    if input is None or classes is None or dataset is not None:
        raise InvalidValueError(
            f"`input` and `classes` must be given together, and without `dataset`, but got "
            f"{' and '.join(names)}."
        )
    if isinstance(input, str):
        raise InvalidValueError(
            f"`input` must be a shape, e.g. (3, 32, 32) or 20, but got {input!r}."
        )
    task = sized_task((input,) if isinstance(input, int) else tuple(input), classes, vocabulary)
    if own is not None:
        own.insist_on(task)
    return task


def networks_of(given: Networks, task: Task | None) -> tuple[SearchSpace[Any], str]:
    """Make the space of what a user gives, and name the task that its networks are built for.

    Args:
        given: a space, its text, a function of a trial, or a list of models.
        task: what the networks are for; the space's own if None.

    Raises:
        HwnasError: there is no such space, a function is not told its task, or it is something
            else.
    """
    space = _space(given, task)
    return space, name_of(space.default_task if task is None else task)


def _space(given: Any, task: Task | None) -> SearchSpace[Any]:
    if isinstance(given, str):
        return named_space(sized_text(given, task))
    if not all(hasattr(given, name) for name in _DUTIES) or isinstance(given, type):
        given = _of_function(given, task)
    if isinstance(given, FunctionSpace):
        keep(given)  # the front of it is opened again in this process
    space: SearchSpace[Any] = given
    return space


def _of_function(given: Any, task: Task | None) -> FunctionSpace:
    name = getattr(given, "__name__", type(given).__name__)
    usable = callable(given) or isinstance(given, Sequence | Mapping)
    if (isinstance(given, type) and not is_made_of_a_trial(given)) or not usable:
        got = f"the class {name}: call it" if isinstance(given, type) else repr(given)
        raise InvalidValueError(
            f"`space` must be a search space, the text of one, a function of a trial or a list of "
            f"models, but got {got}."
        )
    if task is None:
        raise InvalidValueError(
            f"`input` and `classes` must be given with {name}, since a function does not say them, "
            f"e.g. input=(1, 96, 96), classes=7."
        )
    listed = not callable(given)
    make: Any = own_space(given, "models" if listed else name)
    if not listed and not takes_argument(given):
        raise InvalidValueError(
            f"`space` must be a function of a trial, but {name} takes no argument: write "
            f"`def {name}(trial)`."
        )
    sizes = task.input.shape, output_text(task.output), task.input.vocabulary
    return FunctionSpace(make.args[0], *sizes, target="models" if listed else None)
