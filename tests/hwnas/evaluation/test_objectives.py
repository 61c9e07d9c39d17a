from __future__ import annotations

import numpy as np
import pytest

from hwnas.evaluation.objectives import redundant_pairs


def test_redundant_objectives_are_named() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=100)
    values = np.column_stack([first, 7 * first, rng.normal(size=100), -np.exp(first)])
    pairs = redundant_pairs(["a", "seven a", "other", "minus exp a"], values)
    assert {(x, y): rho for x, y, rho in pairs} == {
        ("a", "seven a"): pytest.approx(1.0),
        ("a", "minus exp a"): pytest.approx(-1.0),
        ("seven a", "minus exp a"): pytest.approx(-1.0),
    }


def test_redundancy_ignores_missing_constant_and_few_rows() -> None:
    first = np.arange(30.0)
    constant = np.column_stack([first, np.ones(30)])
    assert redundant_pairs(["a", "b"], constant) == []
    few = np.column_stack([first, first])[:19]
    assert redundant_pairs(["a", "b"], few) == []
    half = np.column_stack([first, first])
    half[:15, 0] = np.nan
    assert redundant_pairs(["a", "b"], half) == []


# Exchanging the ranks i and i + k of n makes Spearman's 1 - 6 (2 k^2) / (n (n^2 - 1)).
@pytest.mark.parametrize(("k", "rho", "named"), [(3, 1 - 108 / 7980, 1), (4, 1 - 192 / 7980, 0)])
def test_redundant_is_what_is_above_98_percent(k: int, rho: float, named: int) -> None:
    first, second = np.arange(20.0), np.arange(20.0)
    second[[5, 5 + k]] = second[[5 + k, 5]]
    assert (rho > 0.98) == bool(named)
    pairs = redundant_pairs(["a", "b"], np.column_stack([first, second]))
    assert [pair[2] for pair in pairs] == [pytest.approx(rho)] * named
