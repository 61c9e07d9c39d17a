"""Architectures within bounds that random ones hardly ever keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hwnas.spaces.autoformer import AutoFormer, AutoFormerArch
from hwnas.spaces.fbnet import SKIP, FBNet, FBNetArch
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.problem import Problem
from hwnas.strategies.repair import Repair
from hwnas.typing import FloatArray

SPACE = FBNet()


def depth(arch: FBNetArch) -> int:
    """Count the layers that are not skipped."""
    return sum(operation != SKIP for operation in arch.operations)


def at_most(bound: int) -> Callable[[Sequence[FBNetArch]], FloatArray]:
    """Give by how much chains are deeper than a bound."""
    return lambda archs: np.array([max(0.0, depth(arch) / bound - 1) for arch in archs])


def test_every_draw_keeps_a_bound_that_hardly_any_keeps() -> None:
    # Of 22 layers each skipped with probability 1/9, at most 11 are left once in 5e-6.
    repair, rng = Repair(SPACE, at_most(11)), np.random.default_rng(0)
    assert repair.is_needed
    drawn = [repair.draw(rng) for _ in range(60)]
    kept = [arch for arch in drawn if arch is not None]
    assert len(kept) == 60
    assert all(depth(arch) <= 11 for arch in kept)
    assert len(set(kept)) > 30
    # As near to what was drawn as the bound lets it: most are at the bound.
    assert sum(depth(arch) == 11 for arch in kept) > 30


@pytest.mark.parametrize("bound", [1, 4])
def test_bounds_that_next_to_nothing_keeps_are_met_by_single_choices(bound: int) -> None:
    # One layer of 22 is left in 22 × 8 + 1 of 9²² chains: changes of several choices miss them.
    repair, rng = Repair(SPACE, at_most(bound)), np.random.default_rng(0)
    drawn = [repair.draw(rng) for _ in range(8)]
    assert all(arch is not None and depth(arch) <= bound for arch in drawn)


def test_draws_depend_on_the_generator_alone() -> None:
    one, other = Repair(SPACE, at_most(11)), Repair(SPACE, at_most(11))
    other.draw(np.random.default_rng(7))
    assert [one.draw(np.random.default_rng(i)) for i in range(5)] == [
        other.draw(np.random.default_rng(i)) for i in range(5)
    ]


def test_what_exists_only_for_some_choices_is_taken_along() -> None:
    space, rng = AutoFormer(), np.random.default_rng(0)

    def violation(archs: Sequence[AutoFormerArch]) -> FloatArray:
        # At least 40 heads in at least 13 layers; nothing is known of the narrowest networks.
        short = [max(0.0, 50 - sum(layer.heads for layer in a.layers)) for a in archs]
        return np.array(
            [
                np.inf if a.width == 192 else s + 9 * (len(a.layers) < 13)
                for a, s in zip(archs, short, strict=True)
            ]
        )

    repair = Repair(space, violation)
    for _ in range(20):
        arch = repair.draw(rng)
        assert arch is not None
        assert violation([arch])[0] == 0


def test_bounds_that_nothing_keeps_end() -> None:
    assert Repair(SPACE, lambda archs: np.ones(len(archs))).draw(np.random.default_rng(0)) is None
    unknown = Repair(SPACE, lambda archs: np.full(len(archs), np.inf))
    assert unknown.draw(np.random.default_rng(0)) is None


@pytest.mark.parametrize("bound", [11, 20])
def test_candidates_are_led_only_where_they_need_be(bound: int) -> None:
    measure = at_most(bound)

    def feasible(archs: Sequence[FBNetArch]) -> np.typing.NDArray[np.bool_]:
        return measure(archs) <= 0

    led = Candidates(Problem(SPACE, feasible, violation=measure))
    free = Candidates(Problem(SPACE, feasible))
    first = [led.draw(set(), np.random.default_rng(i)) for i in range(10)]
    assert all(arch is not None and depth(arch) <= bound for arch in first)
    if bound == 20:  # four of ten random chains keep it: nothing changes
        assert first == [free.draw(set(), np.random.default_rng(i)) for i in range(10)]
