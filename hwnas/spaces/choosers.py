"""The choosers that every declared space is run with, and the record of such a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.options import Choose, Options, V
from hwnas.typing import Choice


class DeclarationError(InvalidValueError):
    """A space asks for what cannot be asked for, or not in the same way each time."""


class Run:
    """What one run of `make` asks for: each name once, and what was answered is kept.

    Args:
        choose: whoever chooses.

    Attributes:
        options: what was asked for, in the order of asking.
        values: what was answered.
        foreign: what choosing raised, if anything: it is not the space's.
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.foreign: Exception | None = None
        self.options: dict[str, Options[Choice]] = {}
        self.values: dict[str, Choice] = {}

    def __call__(self, name: str, options: Options[V]) -> V:
        """Hand on what is asked for, once."""
        if not isinstance(options, Options):
            self.foreign = DeclarationError(
                f"`{name}` must be asked for with Options, e.g. Options((3, 5)), but got "
                f"{options!r}."
            )
            raise self.foreign
        before = self.options.get(name)
        if before is None:
            try:
                chosen = self._choose(name, options)
            except Exception as error:
                self.foreign = error
                raise
            self.options[name] = options
            self.values[name] = chosen
            return chosen
        if before is not options and before != options:
            self.foreign = other_options(name)
            raise self.foreign
        return cast(V, self.values[name])


def other_options(name: str) -> DeclarationError:
    """Build the error for a parameter whose options differ between two times."""
    return DeclarationError(
        f"`{name}` must have the same options each time it is asked for, but has others: give what "
        f"differs a name of its own, or refuse what does not fit by InvalidArchitectureError."
    )


class Counter:
    """Counts through the combinations of what is not given, from one run to the next."""

    def __init__(self, given: Mapping[str, Choice], at: list[int], changes: int | None) -> None:
        self._given = given
        self._start = at
        self._left = math.inf if changes is None else changes
        self._at: list[int] = []
        self._counts: list[int] = []

    def __call__(self, name: str, options: Options[V]) -> V:
        """Give what is given, and count through what is not."""
        if name in self._given:
            return cast(V, self._given[name])
        place = len(self._at)
        chosen = self._start[place] if place < len(self._start) else 0
        self._counts.append(len(options.values) if self._left > 0 else 1)
        self._at.append(chosen)
        self._left -= chosen > 0
        return options.values[chosen]

    def next(self) -> list[int]:
        """Give where the next run starts; nothing after the last one."""
        while self._at and self._at[-1] + 1 >= self._counts[-1]:
            del self._at[-1], self._counts[-1]
        return [*self._at[:-1], self._at[-1] + 1] if self._at else []


def drawing(rng: np.random.Generator) -> Choose:
    """Give a chooser that draws, each option equally likely."""

    def choose(name: str, options: Options[V]) -> V:
        del name
        return options.values[int(rng.integers(len(options.values)))]

    return choose


def reading(parameters: Mapping[str, Any]) -> Choose:
    """Give a chooser that reads values or their texts, and refuses what is missing or foreign."""

    def choose(name: str, options: Options[V]) -> V:
        if name not in parameters:
            raise InvalidArchitectureError(f"`parameters` must hold {name}, but it is missing.")
        return options.read(name, parameters[name])

    return choose
