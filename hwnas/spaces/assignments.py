"""Spaces whose architectures are their choices, by name: nothing but what is asked is written."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.choices import Declared
from hwnas.spaces.choosers import reading
from hwnas.spaces.options import Choose, Options, V
from hwnas.typing import Choice


@dataclass(frozen=True, order=True)
class Assignment:
    """An architecture as (name, value) of what exists for it, in order; its text is JSON."""

    chosen: tuple[tuple[str, Choice], ...]

    def __str__(self) -> str:
        return json.dumps(dict(self.chosen), ensure_ascii=False)


class AssignmentSpace(Declared[Assignment]):
    """A space of all assignments that `ask` can come to.

    A subclass says `ask`, `name` and `build`, in which `asked` gives what `ask` has made of the
    choices.
    """

    @abstractmethod
    def ask(self, choose: Choose) -> Any:
        """Ask for what is needed, and give what a network is built of."""

    def asked(self, arch: Assignment) -> Any:
        """Give what `ask` gives for the choices of an architecture."""
        return self.ask(reading(dict(arch.chosen)))

    def make(self, choose: Choose) -> Assignment:
        """Note what `ask` asks for."""
        chosen: dict[str, Choice] = {}

        def note(name: str, options: Options[V]) -> V:
            chosen[name] = value = choose(name, options)
            return value

        self.ask(note)
        return Assignment(tuple(chosen.items()))

    def values(self, arch: Assignment) -> Mapping[str, Choice]:
        """Give the choices by name."""
        return dict(arch.chosen)

    def parse(self, text: str) -> Assignment:
        """Read a JSON object of choices; `InvalidArchitectureError` if it is not one."""
        try:
            chosen = json.loads(text)
            if not isinstance(chosen, dict):
                raise ValueError(f"it is a {type(chosen).__name__}")
        except ValueError as error:
            raise InvalidArchitectureError(
                f"An architecture must be a JSON object of choices, but got {text!r} ({error})."
            ) from error
        return self.decode(chosen)
