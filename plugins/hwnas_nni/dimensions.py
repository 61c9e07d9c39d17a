"""Search spaces made of dimensions, some of which exist only below a choice of another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError
from hwnas.seeding import derive_seed
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.choices import Choose, Options
from hwnas.spaces.facets import Facets
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Dimension:
    """One choice.

    Attributes:
        name: its name; `/` joins the names of nested ones.
        values: what can be chosen, of any type; at least one, all different as text.
        parent: (name, position among its values) of the choice that this one exists below; None
            if it always exists.
        ordered: whether the values are increasing numbers, of which close ones are alike.
    """

    name: str
    values: tuple[Any, ...]
    parent: tuple[str, int] | None = None
    ordered: bool = False

    def __post_init__(self) -> None:
        if not self.values or len(set(self.texts)) < len(self.values):
            raise InvalidValueError(
                f"`{self.name}` must have at least one value and no value twice, also as text, but "
                f"got {list(self.values)}."
            )

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The values as text, the same in every process.

        Strings are as they are and JSON values are JSON. Of anything else, such as a class, it is
        the position and the name, since a `repr` may hold an address.
        """
        return tuple(_text(v) or f"{i}: {_called(v)}" for i, v in enumerate(self.values))

    @cached_property
    def options(self) -> Options[Choice]:
        """What is chosen from: ordered numbers, or the texts."""
        return Options(self.values, ordered=True) if self.ordered else Options(self.texts)

    def text_of(self, value: Any) -> str:
        """Give the text of a value in its own type; that of its own if it is none of the values."""
        text = _text(value)
        if text is not None:
            return text
        found = (text for text, v in zip(self.texts, self.values, strict=True) if v == value)
        return next(found, _called(value))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError:
        return None


def _called(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


class DimensionSpace(AssignmentSpace):
    """All assignments of dimensions; see `hwnas.typing.SearchSpace`.

    Equal assignments are equal architectures, and so are those that `unused` or `key` tell; what a
    model builder makes of them is unknown here.

    Args:
        name: name of the space.
        dimensions: the dimensions; a parent comes before those below it.
        valid: tells which values by name make an architecture; all do if None.
        builder: makes the network of values by name; there are none if None.
        unused: names the dimensions that do not matter for values by name; none if None.
        key: gives a text that is equal for values by name whose networks are equal.
        facets: what only some spaces can do, see `hwnas.spaces.facets`; nothing if None.
    """

    def __init__(
        self,
        name: str,
        dimensions: Sequence[Dimension],
        valid: Callable[[Mapping[str, Any]], bool] | None = None,
        builder: Callable[[Mapping[str, Any]], nn.Module] | None = None,
        unused: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
        key: Callable[[Mapping[str, Any]], str] | None = None,
        facets: Facets | None = None,
    ) -> None:
        self.name = name
        self._builder = builder
        self._dimensions = {dimension.name: dimension for dimension in dimensions}
        self._valid = valid
        self._unused = unused
        self._key = key
        self.facets: Facets = facets or {}
        if len(self._dimensions) < len(dimensions) or not dimensions:
            raise InvalidValueError(
                f"`dimensions` must have different names, and there must be one, but got "
                f"{[d.name for d in dimensions]}."
            )

    def __repr__(self) -> str:
        digest = derive_seed(*((d.name, d.texts, d.parent) for d in self._dimensions.values()))
        return f"DimensionSpace({self.name!r}, {len(self._dimensions)} dimensions, {digest:x})"

    @property
    def options(self) -> Mapping[str, Options[Choice]]:
        """Options of each dimension."""
        return {name: dimension.options for name, dimension in self._dimensions.items()}

    def ask(self, choose: Choose) -> dict[str, Any]:
        """Ask for the dimensions that exist, and give the values in their own types, by name."""
        at: dict[str, int] = {}
        for name, dimension in self._dimensions.items():
            if dimension.parent is None or at.get(dimension.parent[0]) == dimension.parent[1]:
                at[name] = dimension.options.values.index(choose(name, dimension.options))
        return {name: self._dimensions[name].values[i] for name, i in at.items()}

    def assign(self, values: Mapping[str, Any]) -> Assignment:
        """Make the architecture of values in their own types; the inverse of `asked`."""
        known = self._dimensions.items()
        return self.decode({n: d.text_of(values[n]) for n, d in known if n in values})

    def is_valid(self, arch: Assignment) -> bool:
        """Tell whether the values make an architecture."""
        return self._valid is None or self._valid(self.asked(arch))

    def canonical_key(self, arch: Assignment) -> str:
        """Give the user's key, or the text of the representative."""
        member = self.representative(arch)
        return str(member) if self._key is None else str(self._key(self.asked(member)))

    def representative(self, arch: Assignment) -> Assignment:
        """Give the architecture with the first choice wherever it does not matter."""
        unused = set() if self._unused is None else set(self._unused(self.asked(arch)))
        if not unused:
            return arch
        options = self.options
        first = ((n, options[n].values[0] if n in unused else v) for n, v in arch.chosen)
        return Assignment(tuple(first))

    @property
    def default_task(self) -> Task:
        """CIFAR-10; what the builder makes is unknown here."""
        return get_task("cifar10")

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build the network; the builder itself decides on classes and images."""
        del task
        if self._builder is None:
            raise InvalidValueError(f"`{self.name}` must be of networks, but it builds none.")
        return self._builder(self.asked(arch))
