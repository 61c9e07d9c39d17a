"""Contract of search strategies."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.spaces.choices import members_of
from hwnas.typing import Arch, FloatArray, SearchSpace, Strategy


class StrategyContract:
    """What every search strategy keeps; supply the fixtures `make_strategy` and `space`.

    `make_strategy` is a function that takes a seed and makes a strategy for `space`.

    Attributes:
        objectives: objectives m that are told, all to be minimised.
        rounds: rounds of asking and telling.
        batch: architectures asked for in a round.
        largest_to_exhaust: spaces with at most so many members are searched to the end.
    """

    objectives: int = 2
    rounds: int = 5
    batch: int = 4
    largest_to_exhaust: int = 200

    def values(self, space: SearchSpace[Arch], archs: list[Arch]) -> FloatArray:
        """Give `(n, m)` made-up values that depend on the architecture's class only."""
        keys = [space.canonical_key(arch) for arch in archs]
        seeds = [int.from_bytes(key.encode()[:8].ljust(8), "little") for key in keys]
        rows = [np.random.default_rng(seed).random(self.objectives) for seed in seeds]
        return np.array(rows).reshape(len(archs), self.objectives)

    def run(self, strategy: Strategy[Arch], space: SearchSpace[Arch], rounds: int) -> list[Arch]:
        """Ask and tell; give all proposals."""
        proposals = []
        for _ in range(rounds):
            archs = strategy.ask(self.batch)
            assert len(archs) <= self.batch
            strategy.tell(archs, self.values(space, archs))
            proposals += archs
        return proposals

    def test_proposals_are_members_and_differ(
        self, make_strategy: Callable[[int], Strategy[Arch]], space: SearchSpace[Arch]
    ) -> None:
        proposals = self.run(make_strategy(0), space, self.rounds)
        assert proposals
        assert all(space.decode(space.encode(arch)) == arch for arch in proposals)
        keys = [space.canonical_key(arch) for arch in proposals]
        assert len(set(keys)) == len(keys)

    def test_proposals_depend_on_the_seed_only(
        self, make_strategy: Callable[[int], Strategy[Arch]], space: SearchSpace[Arch]
    ) -> None:
        first = self.run(make_strategy(1), space, self.rounds)
        assert self.run(make_strategy(1), space, self.rounds) == first
        assert self.run(make_strategy(2), space, self.rounds) != first

    def test_failed_evaluations_are_accepted(
        self, make_strategy: Callable[[int], Strategy[Arch]], space: SearchSpace[Arch]
    ) -> None:
        strategy = make_strategy(0)
        archs = strategy.ask(self.batch)
        strategy.tell(archs, np.full((len(archs), self.objectives), np.nan))
        assert self.run(strategy, space, 2)

    def test_values_must_match_architectures(
        self, make_strategy: Callable[[int], Strategy[Arch]]
    ) -> None:
        strategy = make_strategy(0)
        archs = strategy.ask(self.batch)
        with pytest.raises(HwnasError):
            strategy.tell(archs, np.zeros((len(archs) + 1, self.objectives)))

    def test_restored_strategy_continues_exactly(
        self, make_strategy: Callable[[int], Strategy[Arch]], space: SearchSpace[Arch]
    ) -> None:
        original, copied = make_strategy(0), make_strategy(99)
        self.run(original, space, self.rounds)
        copied.restore(json.loads(json.dumps(original.state(), allow_nan=False)))
        assert self.run(copied, space, self.rounds) == self.run(original, space, self.rounds)

    def test_small_space_is_exhausted(
        self, make_strategy: Callable[[int], Strategy[Arch]], space: SearchSpace[Arch]
    ) -> None:
        members = _members(space, self.largest_to_exhaust)
        if members is None:
            pytest.skip(f"the space has more than {self.largest_to_exhaust} members")
        classes = {space.canonical_key(arch) for arch in members if space.is_valid(arch)}
        strategy, seen = make_strategy(0), set[str]()
        for _ in range(len(classes) + 1):
            archs = strategy.ask(self.batch)
            seen |= {space.canonical_key(arch) for arch in archs}
            strategy.tell(archs, self.values(space, archs))
        assert seen == classes
        assert strategy.ask(self.batch) == []


def _members(space: SearchSpace[Arch], limit: int) -> list[Arch] | None:
    """List a space's members; None if there are more than `limit` or they cannot be listed."""
    members = members_of(space, limit)
    return None if members is None else list(members)
