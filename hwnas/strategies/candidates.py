"""The architectures that may still be proposed: one a class, valid, feasible and not taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Generic

import numpy as np

from hwnas.strategies.problem import Problem
from hwnas.strategies.repair import Repair
from hwnas.typing import Arch

_ATTEMPTS, _LED = 1000, 50


class Candidates(Generic[Arch]):
    """Draws and filters architectures.

    A space that can be listed is known to be exhausted. In a larger one a draw gives up after
    1,000 architectures in a row that were taken, invalid or infeasible. Where random ones are
    hardly ever feasible and the problem has a measure of violation, they are led to the bounds
    (`Repair`), and a draw gives up after 50.

    Args:
        problem: space, constraints, candidates.
    """

    def __init__(self, problem: Problem[Arch]) -> None:
        self._problem = problem
        self._feasible: dict[Arch, bool] = {}

    @property
    def listed(self) -> Sequence[tuple[str, Arch]] | None:
        """(canonical key, architecture) of every candidate, in a fixed order; None if too many."""
        return self._problem.listed

    @property
    def restricted(self) -> bool:
        """Whether the listed architectures alone may be proposed, not their equals."""
        return self._problem.candidates is not None

    def draw(self, taken: AbstractSet[str], rng: np.random.Generator) -> Arch | None:
        """Draw a new architecture, or None if there is none (or none was found).

        Uniform over the classes that are left in a listed space, else over the parameters, or near
        the bounds where these are tight.
        """
        if self.listed is None:
            return next(self.new(self._drawn(rng), taken), None)
        left = [arch for key, arch in self.listed if key not in taken]
        order = (left[i] for i in _shuffled(len(left), rng))
        return next((arch for arch in order if self.is_feasible(arch)), None)

    def _drawn(self, rng: np.random.Generator) -> Iterator[Arch]:
        """Draw as often as a draw may fail."""
        if self._repair is None or not self._repair.is_needed:
            yield from (self._problem.space.sample(rng) for _ in range(_ATTEMPTS))
            return
        for _ in range(_LED):
            if (found := self._repair.draw(rng)) is not None:
                yield found

    @cached_property
    def _repair(self) -> Repair[Arch] | None:
        problem = self._problem
        return None if problem.violation is None else Repair(problem.space, problem.violation)

    def any_left(self, taken: AbstractSet[str]) -> bool:
        """Tell whether a listed architecture may still be proposed."""
        left = (arch for key, arch in self.listed or () if key not in taken)
        return any(self.is_feasible(arch) for arch in left)

    def draw_many(self, n: int, rng: np.random.Generator) -> dict[str, Arch]:
        """Draw up to `n` architectures of different classes, by canonical key."""
        drawn: dict[str, Arch] = {}
        if self.listed is not None:
            order = (self.listed[i] for i in _shuffled(len(self.listed), rng))
            for key, arch in order:
                if len(drawn) == n:
                    break
                if key not in drawn and self.is_feasible(arch):
                    drawn[key] = arch
            return drawn
        while len(drawn) < n:
            found = self.draw(drawn.keys(), rng)
            if found is None:
                break
            drawn[self._problem.space.canonical_key(found)] = found
        return drawn

    def new(self, archs: Iterable[Arch], taken: AbstractSet[str]) -> Iterator[Arch]:
        """Give the candidates that stand for these architectures and may be proposed.

        Args:
            archs: any architectures, e.g. children of a parent; looked at one after another.
            taken: canonical keys that must not be proposed.
        """
        space = self._problem.space
        for arch in archs:
            member = self._member(arch)
            # The key of a network that is traced costs more than most bounds.
            if member is None or not self.is_feasible(member):
                continue
            if space.is_valid(arch) and space.canonical_key(arch) not in taken:
                yield member

    def is_feasible(self, arch: Arch) -> bool:
        """Tell whether the cheap bounds are kept; worked out once an architecture."""
        if self._problem.feasible is None:
            return True
        if arch not in self._feasible:
            self._feasible[arch] = bool(self._problem.feasible([arch])[0])
        return self._feasible[arch]

    def _member(self, arch: Arch) -> Arch | None:
        if self._problem.candidates is None:
            return self._problem.space.representative(arch)
        members = self._members_of.get(self._problem.space.canonical_key(arch), ())
        return arch if arch in members else next(iter(members), None)

    @cached_property
    def _members_of(self) -> dict[str, dict[Arch, None]]:
        members: dict[str, dict[Arch, None]] = {}
        for key, arch in self.listed or ():
            members.setdefault(key, {})[arch] = None
        return members


def _shuffled(n: int, rng: np.random.Generator) -> Iterator[int]:
    """Give 0 to n - 1 in random order, at the cost of those that are asked for."""
    moved: dict[int, int] = {}
    for last in range(n - 1, -1, -1):
        chosen = int(rng.integers(last + 1))
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.get(last, last)
