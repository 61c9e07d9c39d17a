"""Search spaces made of dimensions, some of which exist only below a choice of another one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.seeding import derive_seed
from hwnas.spaces.facets import Facets
from hwnas.strategies.candidates import LARGEST_LISTED
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task

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
    """

    name: str
    values: tuple[Any, ...]
    parent: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        if not self.values or len(set(self.texts)) < len(self.values):
            raise InvalidValueError(
                f"`{self.name}` must have at least one value and no value twice, but got "
                f"{list(self.texts)}."
            )

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The values as text, the same in every process.

        Strings are as they are and JSON values are JSON. Of anything else, such as a class, it is
        the position and the name, since a `repr` may hold an address.
        """
        return tuple(_text(v) or f"{i}: {_called(v)}" for i, v in enumerate(self.values))

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


@dataclass(frozen=True, order=True)
class Assignment:
    """An architecture as (name, chosen text) of every dimension that exists for it, in order."""

    chosen: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return json.dumps(dict(self.chosen), ensure_ascii=False)


class DimensionSpace:
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
    def parameters(self) -> Mapping[str, tuple[str, ...]]:
        """Choices of each dimension, as text."""
        return {name: dimension.texts for name, dimension in self._dimensions.items()}

    def values(self, arch: Assignment) -> dict[str, Any]:
        """Give the chosen values, in their own types, by name."""
        return {n: self._dimensions[n].values[self._position(n, text)] for n, text in arch.chosen}

    def assign(self, values: Mapping[str, Any]) -> Assignment:
        """Make the architecture of values in their own types; the inverse of `values`."""
        known = self._dimensions.items()
        return self.decode({n: d.text_of(values[n]) for n, d in known if n in values})

    def parse(self, text: str) -> Assignment:
        """Read an architecture from its text; `InvalidArchitectureError` if it is not one."""
        try:
            chosen = json.loads(text)
            if not isinstance(chosen, dict):
                raise ValueError(f"it is a {type(chosen).__name__}")
        except ValueError as error:
            raise InvalidArchitectureError(
                f"An architecture must be a JSON object of choices, but got {text!r} ({error})."
            ) from error
        return self.decode(chosen)

    def decode(self, parameters: Mapping[str, Any]) -> Assignment:
        """Make the architecture of texts; what does not exist for it is left alone."""
        return self._complete(lambda d: self._position(d.name, parameters.get(d.name)))

    def encode(self, arch: Assignment) -> dict[str, str]:
        """Give the texts of what exists for an architecture."""
        return dict(arch.chosen)

    def is_valid(self, arch: Assignment) -> bool:
        """Tell whether the values make an architecture."""
        return self._valid is None or self._valid(self.values(arch))

    def canonical_key(self, arch: Assignment) -> str:
        """Give the user's key, or the text of the representative."""
        member = self.representative(arch)
        return str(member) if self._key is None else str(self._key(self.values(member)))

    def representative(self, arch: Assignment) -> Assignment:
        """Give the architecture with the first choice wherever it does not matter."""
        unused = set() if self._unused is None else set(self._unused(self.values(arch)))
        if not unused:
            return arch
        first = ((n, self._dimensions[n].texts[0] if n in unused else t) for n, t in arch.chosen)
        return Assignment(tuple(first))

    def neighbours(self, arch: Assignment) -> Sequence[Assignment]:
        """List the architectures with one other choice; below it the first choices are taken."""
        found = []
        for name, text in arch.chosen:
            for other in self._dimensions[name].texts:
                if other != text:
                    changed = {**dict(arch.chosen), name: other}
                    found.append(self._complete(partial(self._near, changed)))
        return found

    def sample(self, rng: np.random.Generator) -> Assignment:
        """Draw every choice that exists uniformly."""
        return self._complete(lambda d: int(rng.integers(len(d.values))))

    @property
    def default_task(self) -> Task:
        """CIFAR-10; what the builder makes is unknown here."""
        return get_task("cifar10")

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build the network; the builder itself decides on classes and images."""
        del task
        if self._builder is None:
            raise InvalidValueError(f"`{self.name}` must be of networks, but it builds none.")
        return self._builder(self.values(arch))

    def _complete(self, position: Callable[[Dimension], int]) -> Assignment:
        """Choose a position for every dimension that exists given the choices before it."""
        at: dict[str, int] = {}
        for dimension in self._dimensions.values():
            if dimension.parent is None or at.get(dimension.parent[0]) == dimension.parent[1]:
                at[dimension.name] = position(dimension)
        return Assignment(tuple((n, self._dimensions[n].texts[i]) for n, i in at.items()))

    def _near(self, chosen: Mapping[str, str], dimension: Dimension) -> int:
        return self._position(dimension.name, chosen.get(dimension.name, dimension.texts[0]))

    def _position(self, name: str, text: str | None) -> int:
        texts = self._dimensions[name].texts
        if text not in texts:
            raise InvalidArchitectureError(
                f"`{name}` must be one of {', '.join(texts)}, but got {text!r}."
            )
        return texts.index(text)


class ListedDimensionSpace(DimensionSpace):
    """A space of dimensions that can be listed."""

    @cached_property
    def _members(self) -> list[Assignment]:
        found: dict[Assignment, None] = {}
        counts = (range(len(d.values)) for d in self._dimensions.values())
        for positions in itertools.product(*counts):
            at = dict(zip(self._dimensions, positions, strict=True))
            found.setdefault(self._complete(partial(_at, at)))
        return list(found)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Assignment]:
        """Iterate in lexicographic order of the choices."""
        return iter(self._members)


def _at(positions: Mapping[str, int], dimension: Dimension) -> int:
    return positions[dimension.name]


def dimension_space(
    name: str,
    dimensions: Sequence[Dimension],
    valid: Callable[[Mapping[str, Any]], bool] | None = None,
    builder: Callable[[Mapping[str, Any]], nn.Module] | None = None,
    unused: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
    key: Callable[[Mapping[str, Any]], str] | None = None,
    facets: Facets | None = None,
) -> DimensionSpace:
    """Make a space of dimensions, one that can be listed where it is small enough."""
    size = math.prod(len(dimension.values) for dimension in dimensions)
    kind = ListedDimensionSpace if size <= LARGEST_LISTED else DimensionSpace
    return kind(name, dimensions, valid, builder, unused, key, facets)
