from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.evaluation.objectives import redundant_pairs
from hwnas.files.grammar import split_constraint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency<=5", ("latency", "<=", 5.0)),
        (" params >= 1e6 ", ("params", ">=", 1e6)),
        ("hw-nas-bench:raspi4:latency≤20.5", ("hw-nas-bench:raspi4:latency", "<=", 20.5)),
        ("jacob_cov+params>=-3", ("jacob_cov+params", ">=", -3.0)),
    ],
)
def test_constraints_are_read(text: str, expected: tuple[str, str, float]) -> None:
    assert split_constraint(text) == expected


@pytest.mark.parametrize("text", ["", "latency", "latency<5", "latency<=", "<=5", "latency<=1.2.3"])
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"e\.g\. 'latency<=5'"):
        split_constraint(text)


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
