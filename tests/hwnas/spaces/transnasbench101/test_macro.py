"""TransNAS-Bench-101 macro: its members, their texts, and which sequences are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.transnasbench101.macro import MacroArch, TransNasMacro
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = TransNasMacro()


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> TransNasMacro:
        return TransNasMacro(channels=2)


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> TransNasMacro:
        return SPACE


def test_there_are_as_many_members_as_in_the_paper() -> None:
    # Which modules double and which halve are free of each other: C(depth, k) ways each.
    expected = sum(
        sum(math.comb(depth, k) for k in (1, 2, 3)) * sum(math.comb(depth, k) for k in (1, 2, 3, 4))
        for depth in (4, 5, 6)
    )
    members = list(SPACE)
    assert expected == 3_256 == len(SPACE) == len(members) == len(set(members))
    assert all(SPACE.decode(SPACE.encode(a)) == a for a in members[::97])


@pytest.mark.parametrize("modules", ["111", "1111", "2222", "3333331", "44444", "4a11", "2111"])
def test_other_sequences_are_one_line(modules: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="`modules` must"):
        MacroArch(modules)
    with pytest.raises(InvalidArchitectureError):
        SPACE.parse(f"64-{modules}-basic")


def test_texts_are_those_of_the_benchmark() -> None:
    assert str(SPACE.parse("64-41414-basic")) == "64-41414-basic"
    assert SPACE.encode(SPACE.parse("64-4111-basic")) == {
        "depth": 4,
        "module_0": "double_halve",
        "module_1": "normal",
        "module_2": "normal",
        "module_3": "normal",
    }
    with pytest.raises(InvalidArchitectureError, match="as in '64-41414-basic'"):
        SPACE.parse("41414")


def test_samples_are_uniform_over_the_members() -> None:
    # A third of depth 6 more or less would be far outside of four standard deviations.
    rng = np.random.default_rng(0)
    deep = sum(len(SPACE.sample(rng).modules) == 6 for _ in range(2_000)) / 2_000
    share = 2_296 / 3_256
    assert abs(deep - share) < 4 * math.sqrt(share * (1 - share) / 2_000)
