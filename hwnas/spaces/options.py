"""What a parameter can be, and who chooses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.typing import Choice

V = TypeVar("V", bound=Choice)
V_co = TypeVar("V_co", bound=Choice, covariant=True)

_ROUNDING = 1e-9
"""Numbers closer than this, relative to the largest option, are equal."""


@dataclass(frozen=True)
class Options(Generic[V_co]):
    """What can be chosen.

    Attributes:
        values: texts, integers, floats or truth values, all different, also as text.
        ordered: whether they are increasing numbers, of which close ones are alike.
        between: whether the values of an ordered range stand for all numbers between them, integers
            or floats as they are. Those are read where another sampler has chosen them, and never
            drawn.

    Raises:
        InvalidValueError: there is no value, one comes twice, or is none of these.
    """

    values: Sequence[V_co]
    ordered: bool = False
    between: bool = False
    _positions: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = tuple(self.values)
        try:
            values, positions = _read(given, tuple(map(type, given)), self.ordered)
        except TypeError:  # something without a hash
            values, positions = _plain(given), None
        if positions is None:
            kind = "increasing numbers" if self.ordered else "different texts, numbers or booleans"
            raise InvalidValueError(
                f"`values` must be {kind}, at least one, but got {', '.join(map(repr, values))}."
            )
        vars(self).update(values=values, _positions=positions)

    def position(self, got: object) -> int | None:
        """Give the position of a value or of its text; None if it is none of the values.

        A number may be rounded otherwise, by 1e-9 of the largest value.
        """
        if isinstance(got, str):
            return self._positions.get(got)
        got = got.item() if isinstance(got, np.generic) else got
        if not isinstance(got, int | float):
            return None
        found = self._positions.get(text_of(got))
        if found is not None or isinstance(got, bool):
            return found
        numbers = {i: v for i, v in enumerate(self.values) if not isinstance(v, str | bool)}
        largest = max((abs(v) for v in numbers.values()), default=0)
        close = (i for i, v in numbers.items() if abs(v - got) <= _ROUNDING * largest)
        return next(close, None)

    def read(self, name: str, got: object) -> V_co:
        """Give the option that a value or text is; `InvalidArchitectureError` if it is none."""
        position = self.position(got)
        if position is not None:
            return self.values[position]
        if (number := self._between(got)) is not None:
            return number
        options = ", ".join(map(text_of, self.values))
        raise InvalidArchitectureError(f"`{name}` must be one of {options}, but got {got!r}.")

    def _between(self, got: object) -> V_co | None:
        """Give a number that a range stands for, in the type of its values; None for others."""
        got = got.item() if isinstance(got, np.generic) else got
        if not self.between or isinstance(got, bool) or not isinstance(got, int | float):
            return None
        low, high = cast("tuple[float, float]", (self.values[0], self.values[-1]))
        kind = type(low)
        return cast(V_co, kind(got)) if low <= got <= high and kind(got) == got else None

    def place(self, value: Choice) -> float:
        """Give the position of an option, of a number between two of them by their distances."""
        if value in self.values:
            return self.values.index(value)
        return float(np.interp(value, self.values, range(len(self.values))))  # type: ignore[arg-type]

    def near(self, value: Choice) -> Sequence[V_co]:
        """Give the options that one edit leads to: all others.

        Of ordered ones it is those that are 1, 2, 4, 8, ... positions away, near and far; of a
        number between two of them, these are 1 away.
        """
        at = self.place(value)
        away = ((math.ceil(abs(i - at)), other) for i, other in enumerate(self.values) if i != at)
        return [other for steps, other in away if not self.ordered or not steps & (steps - 1)]


def insist_on_choice(what: str, value: object, allowed: Sequence[object]) -> None:
    """Insist that a part of an architecture is one of what is allowed, not only its text.

    Raises:
        InvalidArchitectureError: it is none; names the part and lists what is allowed.
    """
    if value not in allowed:
        options = ", ".join(map(str, allowed))
        raise InvalidArchitectureError(f"`{what}` must be one of {options}, but got {value}.")


def text_of(value: Choice) -> str:
    """Give the text of a choice: texts as they are, numbers and booleans as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


@lru_cache(maxsize=1024)
def _read(
    given: tuple[Any, ...], types: tuple[type, ...], ordered: bool
) -> tuple[tuple[Any, ...], Mapping[str, int] | None]:
    """Give the values, and the position of each text; None if these can be no options.

    Spaces make their options each time they ask. The types tell 1 from True in the cache.
    """
    del types
    values = _plain(given)
    fine = all(isinstance(v, str | int) or _is_finite_float(v) for v in values)
    if fine and ordered:
        numbers = [v for v in values if not isinstance(v, str | bool)]
        fine = values == tuple(sorted(numbers))
    # Equal numbers of different types, such as 1 and True, are one choice.
    if not fine or not 0 < len(values) == len(set(values)) == len(set(map(text_of, values))):
        return values, None
    return values, {form(values[i]): i for form in (str, text_of) for i in range(len(values))}


def _plain(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give Python's own numbers for NumPy's."""
    return tuple(v.item() if isinstance(v, np.generic) else v for v in given)


def _is_finite_float(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


class Choose(Protocol):
    """Whoever chooses: a generator, given parameters, a trial."""

    def __call__(self, name: str, options: Options[V]) -> V:
        """Choose one of the options for the parameter of this name."""
