from __future__ import annotations

import numpy as np
import pytest

from hwnas.strategies.improvement import expected_improvement


def test_improvement_is_over_rivals_that_are_as_cheap() -> None:
    rng = np.random.default_rng(0)
    means, deviations = rng.normal(size=(6, 1)), rng.uniform(0.5, 1, size=(6, 1))
    costs = np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [np.nan]])
    evaluated, losses = np.array([1, 3, 4]), np.array([[0.5], [-0.5], [0.8]])
    got = expected_improvement(means, deviations, costs, evaluated, losses, rng)
    # The worst evaluated loss is 0.8 and the best -0.5, so nothing as cheap counts 2.1. The third
    # evaluated one is behind the second in everything. A missing cost is behind everyone.
    best = np.array([2.1, 0.5, 0.5, -0.5, -0.5, -0.5])
    draws = means[:, 0] + deviations[:, 0] * rng.standard_normal((400_000, 6))
    wanted = np.maximum(best - draws, 0).mean(axis=0)
    assert got == pytest.approx(wanted, abs=0.01)


def test_rivals_count_in_every_known_loss() -> None:
    costs = np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    got = expected_improvement(
        np.zeros((3, 1)),
        np.full((3, 1), 1e-9),
        costs,
        np.array([0, 1]),
        np.array([[3.0], [1.0]]),
        np.random.default_rng(0),
    )
    assert got == pytest.approx([3.0, 1.0, 1.0])


def test_several_uncertain_losses_improve_by_the_smallest_of_the_largest_gains() -> None:
    means = np.array([[0.0, 0.0], [2.0, 2.0], [-1.0, 3.0]])
    got = expected_improvement(
        means,
        np.full((3, 2), 1e-12),
        np.empty((3, 0)),
        np.array([0, 1]),
        np.array([[1.0, 1.0], [0.5, 2.5]]),
        np.random.default_rng(0),
    )
    # First: gains (1, 1) and (.5, 2.5) -> min(1, 2.5). Second: (-1, -1) -> 0. Third: (2, -2) and
    # (1.5, -.5) -> min(2, 1.5). The reference is (1.5, 4): further away.
    assert got == pytest.approx([1.0, 0.0, 1.5], abs=1e-9)


def test_only_the_most_promising_ones_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.strategies.improvement.SAMPLED", 1)
    got = expected_improvement(
        np.array([[3.0, 3.0], [0.0, 0.0], [2.0, 2.0]]),
        np.full((3, 2), 0.1),
        np.empty((3, 0)),
        np.array([0]),
        np.array([[1.0, 1.0]]),
        np.random.default_rng(0),
    )
    assert got[1] > 0 > got[2] > got[0]
