"""What a function of the user's asks for its choices: a trial as in Optuna, of finite choices."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.spaces.choosers import DeclarationError, other_options
from hwnas.spaces.options import Choose, Options, V
from hwnas.typing import Choice

if TYPE_CHECKING:
    from hwnas.tasks.task import Task

LEVELS = 16
"""Numbers that stand for a range of floats, and for a logarithmic one with more integers."""
MOST = 10_000
"""Choices that a parameter may have."""
MOST_ASKED = 100_000
"""Times that one trial may be asked, so that a function that never ends asking is told."""


class Trial:
    """Answers `suggest_categorical`, `suggest_int` and `suggest_float` as Optuna's trials do.

    What is asked for exists; a name that is asked for again has the same answer.

    Args:
        choose: whoever chooses.
        task: what the network is for: `input` and `classes` are the sizes of it.
    """

    number = 0

    def __init__(self, choose: Choose, task: Task) -> None:
        self._choose = choose
        self._options: dict[str, Options[Choice]] = {}
        self._task = task
        self._asked = 0
        self.params: dict[str, Any] = {}
        self.user_attrs: dict[str, Any] = {}

    @property
    def input(self) -> tuple[int, ...]:
        """Shape of one input, (C, H, W) of an image."""
        return self._task.input.shape

    @property
    def classes(self) -> int:
        """Classes K of the task, its real numbers n, or the vocabulary V of next tokens."""
        number = next(iter(vars(self._task.output).values()), None)
        if number is None:
            raise InvalidValueError(
                "`trial.classes` must be known, but --classes outputs does not say a number."
            )
        return int(number)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Choose one of several values of any type; classes and functions go by their names.

        Raises:
            DeclarationError: there is none, or two have the same text.
        """
        values = list(choices)
        texts = texts_of(values)
        return values[texts.index(self._ask(name, texts, ordered=False))]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Choose an integer of ``low, low + step, ...`` up to `high`.

        Args:
            name: of the parameter.
            low: smallest.
            high: largest, if the steps meet it.
            step: between two of them.
            log: choose among all if they are at most 16, else among 16 at equal ratios, both ends
                among them. Those between are choices too, of which none is drawn.

        Raises:
            DeclarationError: the range is empty, or holds more than 10,000 integers.
        """
        if not (low <= high and step >= 1 and (not log or (low >= 1 and step == 1))):
            raise DeclarationError(
                f"`suggest_int({name!r})` must have `low <= high` and `step >= 1`, and with "
                f"`log=True` `low >= 1` and no step, but got {low}, {high}, step={step}, log={log}."
            )
        between = log and high - low + 1 > LEVELS
        if between:
            levels = np.geomspace(low, high, LEVELS).round().astype(int)
            values = sorted({low, high, *map(int, levels)})
        else:
            _check_count(name, (high - low) // step + 1)
            values = list(range(low, high + 1, step))
        return int(self._ask(name, values, ordered=True, between=between))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Choose a number of ``low, low + step, ...`` up to `high`.

        Without a step it is one of 16 at equal distances, of equal ratios if logarithmic, both
        ends among them. Those between are choices too, of which none is drawn.

        Raises:
            DeclarationError: the range is empty, or a logarithmic one has a step or zero.
        """
        finite = math.isfinite(low) and math.isfinite(high)
        fits = step is None and low > 0 if log else step is None or step > 0
        if not (finite and low <= high and fits):
            raise DeclarationError(
                f"`suggest_float({name!r})` must have finite `low <= high` and `step > 0`, and "
                f"with `log=True` `low > 0` and no step, but got {low}, {high}, step={step}, "
                f"log={log}."
            )
        if step is None:
            levels = np.geomspace(low, high, LEVELS) if log else np.linspace(low, high, LEVELS)
            inner = {float(f"{level:.4g}") for level in levels[1:-1]}
            values = sorted({float(low), float(high), *(v for v in inner if low < v < high)})
            return float(self._ask(name, values, ordered=True, between=True))
        first, width = Decimal(str(low)), Decimal(str(step))  # 0.1 + 2 * 0.1 is 0.3
        count = int((Decimal(str(high)) - first) / width) + 1
        _check_count(name, count)
        values = [float(first + i * width) for i in range(count)]
        return float(self._ask(name, values, ordered=True))

    def under(self, prefix: str) -> Trial:
        """Give a trial whose names stand below one: what two models ask for stays apart."""

        def choose(name: str, options: Options[V]) -> V:
            return self._choose(f"{prefix}.{name}", options)

        return Trial(choose, self._task)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value, as a trial of Optuna does."""
        self.user_attrs[key] = value

    def report(self, value: float, step: int) -> None:
        """Do nothing: a network that is built has nothing to report."""

    def should_prune(self) -> bool:
        """Give False: nothing is trained."""
        return False

    def _ask(
        self, name: str, values: Sequence[Choice], ordered: bool, between: bool = False
    ) -> Any:
        self._asked += 1
        if self._asked > MOST_ASKED:
            raise DeclarationError(
                f"`{name}` must be asked for by a function that ends, but it is still asking after "
                f"{MOST_ASKED:,} calls of `suggest_...`: bound its loop."
            )
        try:
            options = Options(tuple(values), ordered, between)
        except InvalidValueError as error:
            raise DeclarationError(f"{name}: {error}") from error
        if name not in self._options:
            self.params[name] = self._choose(name, options)
            self._options[name] = options
        elif self._options[name] != options:
            raise other_options(name)
        return self.params[name]


def takes_argument(function: Any) -> bool:
    """Tell whether a function must be given an argument, such as a trial."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # made in C
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def _check_count(name: str, count: int) -> None:
    if count > MOST:
        raise DeclarationError(
            f"`{name}` must have at most {MOST:,} choices, but has {count:,}: give a larger step."
        )


def texts_of(values: Sequence[Any]) -> list[Choice]:
    """Give the values as choices: what is no JSON scalar as a text, by its place if need be.

    Example:
        >>> texts_of([None, 2, "batch", int])
        ['null', 2, 'batch', 'int']
    """
    texts = [_text(value) for value in values]
    return [
        text if texts.count(text) == 1 or isinstance(value, str | int | float) else f"{i}: {text}"
        for i, (text, value) in enumerate(zip(texts, values, strict=True))
    ]


def _text(value: Any) -> Choice:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Enum):
        return value.name
    try:
        return json.dumps(value)
    except TypeError:
        named = value if hasattr(value, "__qualname__") else type(value)
        return str(named.__qualname__)
