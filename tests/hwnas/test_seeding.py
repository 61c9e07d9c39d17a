from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnas.seeding import derive_seed, seeded


@given(st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_seeds_fit_every_generator(parts: list[int | str]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63


def test_each_part_and_its_place_matter() -> None:
    seeds = {derive_seed(0, "a"), derive_seed(1, "a"), derive_seed("a", 0), derive_seed(0, "a", "")}
    assert len(seeds) == 4
    # Joined parts must not collide with their concatenation.
    assert derive_seed("ab", "c") != derive_seed("a", "bc")


def test_torch_draws_by_the_seed_and_goes_on_as_before() -> None:
    def draw(seed: Any) -> float:
        with seeded(seed):
            return float(torch.rand(()))

    torch.manual_seed(3)
    first, second = float(torch.rand(())), float(torch.rand(()))
    torch.manual_seed(3)
    assert float(torch.rand(())) == first
    assert draw(5) == draw(5) != draw(6)
    assert float(torch.rand(())) == second
    assert draw(np.int64(5)) == draw(5)
