"""Search spaces that are declared by what they ask for.

A space is one function of choices: `make(choose)` asks for what it needs, and what it does not ask
for does not exist. Everything else follows. In these terms:

- one of several kernels is ``choose("kernel", Options((3, 5, 7)))``;
- a width in steps of 16 is ``choose("width", Options(range(16, 129, 16), ordered=True))``;
- a layer that exists where the depth allows it is asked for in a loop over the depth, and the
  momentum of one optimiser below an ``if``;
- a combination that is no architecture raises `InvalidArchitectureError`;
- given parameters, a random generator, an Optuna trial and NNI's tuner are choosers.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Generic, cast

import numpy as np

from hwnas.errors import InvalidArchitectureError, MissingDependencyError
from hwnas.spaces.choosers import (
    Counter,
    DeclarationError,
    Run,
    drawing,
    other_options,
    reading,
)
from hwnas.spaces.facets import Listing, facet
from hwnas.spaces.options import Choose, Options
from hwnas.typing import Arch, Choice, SearchSpace

__all__ = ["Choose", "Declared", "Options", "decide", "made_by", "members_of", "options_of"]

_DRAWS = 1000
_PROBES = 32


class Declared(ABC, Generic[Arch]):
    """A space that is declared by what it asks for.

    A subclass says `make` and `values`, and what of `hwnas.typing.SearchSpace` does not follow:
    `name`, `parse`, `build`, and which networks are equal. Architectures are values that can be
    hashed. `hwnas.spaces.assignments` has them ready-made.

    `make` depends on the answers alone, and a name has the same options each time. What it raises
    makes the choices no architecture.

    Attributes:
        explored: first and random architectures that are looked at for parameters.
        new_changes: new parameters of a neighbour that may not be at their first option.
    """

    explored: ClassVar[int] = 128
    new_changes: ClassVar[int] = 2

    @abstractmethod
    def make(self, choose: Choose) -> Arch:
        """Make an architecture by asking for what it needs."""

    @abstractmethod
    def values(self, arch: Arch) -> Mapping[str, Choice]:
        """Give the answers that make an architecture, in the order in which they are asked for."""

    @property
    def options(self) -> Mapping[str, Options[Choice]]:
        """Options of every parameter that can exist, about in the order of asking.

        They are found by asking: each option of each parameter is tried once where the parameter
        was first met, and beside that the first `explored` architectures and as many random ones.
        What exists only for a rare combination may be missing here, and is still asked for; a
        space that knows better says so itself.

        Raises:
            InvalidValueError: a parameter has other options at another time.
        """
        return self._explored

    @property
    def parameters(self) -> Mapping[str, tuple[Choice, ...]]:
        """Choices of every parameter that can exist."""
        return {name: tuple(options.values) for name, options in self.options.items()}

    def sample(self, rng: np.random.Generator) -> Arch:
        """Draw an architecture: each option is equally likely when it is asked for.

        An architecture's share is therefore 1 over the product of the options on its way: one
        that needs few choices is drawn more often than one of many. What `make` refuses is drawn
        again.

        Raises:
            InvalidArchitectureError: `make` refused 1,000 draws in a row; says why.
        """
        chooser = drawing(rng)
        for _ in range(_DRAWS - 1):
            with contextlib.suppress(InvalidArchitectureError):
                return made_by(Run(chooser), self.make)
        return made_by(Run(chooser), self.make)

    def decode(self, parameters: Mapping[str, Any]) -> Arch:
        """Make the architecture of values or their texts; parameters beyond it are left alone.

        Raises:
            InvalidArchitectureError: a value is missing or no option, or `make` refuses.
        """
        return made_by(Run(reading(parameters)), self.make)

    def encode(self, arch: Arch) -> dict[str, Choice]:
        """Give the parameters of an architecture, those that exist for it."""
        return dict(self.values(arch))

    def is_valid(self, arch: Arch) -> bool:
        """Tell that the output depends on the input, if the space knows nothing else."""
        del arch
        return True

    def canonical_key(self, arch: Arch) -> str:
        """Give the text of the representative."""
        return str(self.representative(arch))

    def representative(self, arch: Arch) -> Arch:
        """Give the architecture itself, if the space knows of no equal ones."""
        return arch

    def neighbours(self, arch: Arch) -> Sequence[Arch]:
        """List the architectures with one other choice; see `Options.near`.

        Where that opens new parameters, they take all values of which at most two are not the
        first option, and where it closes some, at most two of them are not at their first option:
        a choice that opens twenty parameters would have millions of neighbours otherwise. Being
        neighbours is mutual.
        """
        run, found = Run(reading(self.values(arch))), dict[Arch, None]()
        made_by(run, self.make)
        for name, options in run.options.items():
            for other in options.near(run.values[name]):
                for near, made in self._completions({**run.values, name: other}, self.new_changes):
                    closed = [n for n in run.values if n not in near.values]
                    changes = sum(run.values[n] != run.options[n].values[0] for n in closed)
                    if made is not None and changes <= self.new_changes:
                        found[made] = None
        found.pop(arch, None)
        return list(found)

    def members(self, limit: int) -> list[Arch] | None:
        """List all architectures in the order of their options; None if there are more than limit.

        A way to an architecture has a product of options; a space of n architectures has ways
        beyond 2n for less than half of all draws. Where all 32 draws are beyond, nothing is listed.
        """
        rng = np.random.default_rng(0)
        probes = (self._completed(Run(drawing(rng)))[0] for _ in range(_PROBES))
        sizes = (math.prod(len(o.values) for o in run.options.values()) for run in probes)
        if min(sizes) > 2 * limit:
            return None
        found: dict[Arch, None] = {}
        for _, made in self._completions({}):
            if made is not None:
                found[made] = None
            if len(found) > limit:
                return None
        return list(found)

    def _completed(self, run: Run) -> tuple[Run, Arch | None]:
        """Run, and give what was asked for even where it is no architecture."""
        try:
            return run, made_by(run, self.make)
        except InvalidArchitectureError:
            return run, None

    def _completions(
        self, given: Mapping[str, Choice], changes: int | None = None
    ) -> Iterator[tuple[Run, Arch | None]]:
        """Run with every combination of the choices that are not given, the last one fastest.

        Args:
            given: values by name.
            changes: how many of the others may not be at their first option; None for all.
        """
        at: list[int] = []
        while True:
            counter = Counter(given, at, changes)
            yield self._completed(Run(counter))
            at = counter.next()
            if not at:
                return

    @cached_property
    def _explored(self) -> Mapping[str, Options[Choice]]:
        rng = np.random.default_rng(0)
        found: dict[str, Options[Choice]] = {}
        order: list[str] = []
        first = (run for run, _ in itertools.islice(self._completions({}), self.explored))
        drawn = (self._completed(Run(drawing(rng)))[0] for _ in range(self.explored))
        # A new parameter and the values where it was met.
        todo = [new for run in itertools.chain(first, drawn) for new in _meet(run, found, order)]
        while todo:
            name, values = todo.pop()
            for value in found[name].values:
                run, _ = next(self._completions({**values, name: value}))
                todo += _meet(run, found, order)
        return {name: found[name] for name in order}


def _meet(
    run: Run, found: dict[str, Options[Choice]], order: list[str]
) -> list[tuple[str, Mapping[str, Choice]]]:
    """Note the new parameters of a run before those that it asked for later."""
    new: list[tuple[str, Mapping[str, Choice]]] = []
    place = len(order)
    for name, options in reversed(run.options.items()):
        if name not in found:
            found[name] = options
            order.insert(place, name)
            new.append((name, run.values))
        elif found[name] != options:
            raise other_options(name)
        place = order.index(name)
    return new


def made_by(run: Run, make: Callable[[Choose], Arch]) -> Arch:
    """Make an architecture; whatever `make` itself raises says that these choices are none.

    Raises:
        InvalidArchitectureError: it does.
        DeclarationError: a name is asked for with other options than before.
        MissingDependencyError: it needs a package that is not installed.
    """
    try:
        return make(run)
    except (InvalidArchitectureError, DeclarationError, MissingDependencyError):
        raise
    except Exception as error:
        if error is run.foreign:
            raise
        chosen = textwrap.shorten(json.dumps(run.values), 300)
        raise InvalidArchitectureError(
            f"`make` must give an architecture for {chosen}, but raised "
            f"{type(error).__name__}: {error}"
        ) from error


def decide(space: SearchSpace[Arch], choose: Choose) -> Arch:
    """Make an architecture of any space by asking for what exists.

    A space that cannot say what exists, for it has no `make`, is asked for all its parameters.

    Raises:
        InvalidArchitectureError: the choices make no architecture.
    """
    make = getattr(space, "make", None)
    if make is None:
        make = partial(_make_of_everything, space)
    found: Arch = made_by(Run(choose), make)
    return found


def _make_of_everything(space: SearchSpace[Arch], choose: Choose) -> Arch:
    asked = options_of(space).items()
    return space.decode({name: choose(name, options) for name, options in asked})


def options_of(space: SearchSpace[Arch]) -> Mapping[str, Options[Choice]]:
    """Give the options of every parameter that can exist in any space."""
    if hasattr(space, "make"):
        return cast("Declared[Any]", space).options
    return {name: Options(values) for name, values in space.parameters.items()}


def members_of(space: SearchSpace[Arch], limit: int) -> Iterable[Arch] | None:
    """List the architectures of any space; None if there are more than `limit`, or it cannot."""
    if (listed := facet(space, Listing)) is not None:
        return listed if len(listed) <= limit else None
    return cast("Declared[Arch]", space).members(limit) if hasattr(space, "members") else None
