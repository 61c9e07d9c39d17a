"""Architectures within bounds that random ones hardly ever keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Generic

import numpy as np

from hwnas.errors import InvalidArchitectureError
from hwnas.strategies.neighbours import neighbours_in_random_order
from hwnas.strategies.problem import Measure
from hwnas.typing import Arch, Choice, SearchSpace

_PROBED, _RARE = 24, 2
"""Random architectures that are looked at, and how few of them within the bounds are rare."""
_ANCHORS = 8
_STEPS = 400
"""Changes that are tried to bring an architecture within the bounds."""
_SINGLE = 1000
"""Single choices that are tried after them, where hardly anything keeps the bounds."""
_SHARE = 0.2
"""Share of its choices that a change takes from a random architecture."""


class Repair(Generic[Arch]):
    """Leads random architectures to the bounds.

    Eight anchors are random architectures that took random choices of others as long as these
    lowered the violation, until there was none; where that does not come to an end, single choices
    that lower it. A random architecture that breaks the bounds takes
    choices of an anchor, in random order, and about as few as bring it within: so it is as near to
    itself as the bounds let it, and often near to a bound. What is found depends on the generator
    that is given alone.

    Args:
        space: search space.
        violation: gives `(n,)` by how much `(n,)` architectures break the bounds; 0 where they keep
            them, infinite where that is unknown.
    """

    def __init__(self, space: SearchSpace[Arch], violation: Measure[Arch]) -> None:
        self._space = space
        self._measure = violation
        self._anchors: dict[int, Arch | None] = {}

    @cached_property
    def is_needed(self) -> bool:
        """Whether fewer than two of 24 random architectures keep the bounds."""
        rng = np.random.default_rng(0)
        probed = (self._violation(self._space.sample(rng)) <= 0 for _ in range(_PROBED))
        return sum(probed) < _RARE

    def draw(self, rng: np.random.Generator) -> Arch | None:
        """Draw an architecture within the bounds; None if none was found."""
        drawn = self._space.sample(rng)
        anchor = self._anchor(int(rng.integers(_ANCHORS)))
        if self._violation(drawn) <= 0:
            return drawn
        return None if anchor is None else self._led(drawn, anchor, rng)

    def _led(self, drawn: Arch, anchor: Arch, rng: np.random.Generator) -> Arch:
        """Give a random architecture as few choices of an anchor as bring it within the bounds."""
        mine, theirs = self._space.encode(drawn), self._space.encode(anchor)
        names = _shuffled({*mine, *theirs}, rng)
        too_few, enough, found = 0, len(names), anchor
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            arch = self._mixed(mine, theirs, names[:middle])
            if arch is not None and self._violation(arch) <= 0:
                enough, found = middle, arch
            else:
                too_few = middle
        return found

    def _anchor(self, number: int) -> Arch | None:
        if number not in self._anchors:
            self._anchors[number] = self._descended(np.random.default_rng(number))
        return self._anchors[number]

    def _descended(self, rng: np.random.Generator) -> Arch | None:
        """Lower the violation step by step; None if it does not end at none."""
        best = self._space.sample(rng)
        for _ in range(_STEPS):
            if (least := self._violation(best)) <= 0:
                return best
            mine, theirs = (self._space.encode(a) for a in (best, self._space.sample(rng)))
            names = _shuffled(set(theirs), rng)
            taken = names[: 1 + rng.binomial(len(names), _SHARE)]
            arch = self._mixed(mine, theirs, taken)
            # Where nothing is known yet, anything may be better.
            if arch is not None and (np.isinf(least) or self._violation(arch) < least):
                best = arch
        return self._stepped(best, rng)

    def _stepped(self, best: Arch, rng: np.random.Generator) -> Arch | None:
        """Take single choices that lower the violation; None if they do not end at none."""
        least, tried = self._violation(best), 0
        near = neighbours_in_random_order(best, self._space, rng)
        while np.isfinite(least) and tried < _SINGLE and (arch := next(near, None)) is not None:
            tried += 1
            if (found := self._violation(arch)) < least:
                if found <= 0:
                    return arch
                best, least = arch, found
                near = neighbours_in_random_order(best, self._space, rng)
        return None

    def _mixed(
        self, mine: Mapping[str, Choice], theirs: Mapping[str, Choice], names: Sequence[str]
    ) -> Arch | None:
        """Take the named choices of another; None where that makes no architecture."""
        given = {name: theirs[name] for name in names if name in theirs}
        try:
            # What these open and mine do not have is theirs.
            return self._space.decode({**theirs, **mine, **given})
        except InvalidArchitectureError:
            return None

    def _violation(self, arch: Arch) -> float:
        return float(self._measure([arch])[0])


def _shuffled(names: set[str], rng: np.random.Generator) -> list[str]:
    ordered = sorted(names)
    return [ordered[i] for i in rng.permutation(len(ordered))]
