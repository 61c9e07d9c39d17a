"""What repeated samples say, and when repeating stops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hwnas.measure.measurement import MIN_RUNS, median_interval, repeat, summarise


# Ranks (from 1) by the binomial table: the largest k with 2 P(B(n, 1/2) < k) <= 0.05.
@pytest.mark.parametrize(
    ("n", "low", "high"), [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (25, 8, 18)]
)
def test_interval_of_the_median_by_the_table(n: int, low: int, high: int) -> None:
    shuffled = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert median_interval(shuffled) == (low, high)


def test_interval_needs_six_runs() -> None:
    for n in range(6):
        assert all(math.isnan(end) for end in median_interval(np.arange(float(n))))


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).exponential(size=(4000, 50))
    inside = [low <= math.log(2) <= high for low, high in map(median_interval, draws)]
    # Exactly 0.967 for n = 50 and k = 18; four standard errors are 0.011.
    assert np.mean(inside) == pytest.approx(0.967, abs=0.012)


def test_quantiles_by_hand() -> None:
    # Squares 0, 1, 4, ..., 400 at positions 0 to 20. Position 20 q: 5, 10, 15 and 19.
    squares = np.random.default_rng(0).permutation(np.arange(21.0) ** 2)
    found = summarise(squares)
    assert (found.value, found.iqr, found.p95) == (100.0, 225.0 - 25.0, 361.0)
    # Position 18 is the 90th percentile, which is not the 95th.
    assert found.p90 == 324.0
    assert math.isnan(found.p99)
    many = summarise(np.random.default_rng(0).permutation(np.arange(3001.0)))
    assert (many.p90, many.p95, many.p99) == (2700.0, 2850.0, 2970.0)
    # Four values, positions 0.75, 1.5, 2.25 and 2.85, linear between neighbours.
    found = summarise(np.array([16.0, 2.0, 8.0, 4.0]))
    assert found.value == 6.0
    assert found.iqr == pytest.approx((8 + 0.25 * 8) - (2 + 0.75 * 2))
    assert found.p95 == pytest.approx(8 + 0.85 * 8)
    one = summarise(np.array([3.0]))
    assert (one.value, one.p95, one.iqr) == (3.0, 3.0, 0.0)


def runs_of(values: list[float]) -> Callable[[], tuple[float, float]]:
    """Give samples of a list whose last value repeats; the second meter's are constant."""
    left = list(values)
    return lambda: (left.pop(0) if len(left) > 1 else left[0], 1.0)


def test_repeating_stops_when_the_median_is_known() -> None:
    samples = repeat(runs_of([3.0]), warmup=3, max_seconds=60, target=0.02)
    assert samples.converged
    assert samples.values.shape == (MIN_RUNS, 2)
    assert samples.seconds < 10


def test_repeating_stops_when_time_is_up() -> None:
    rng = np.random.default_rng(0)
    noisy = repeat(lambda: (float(rng.exponential()), 1.0), warmup=0, max_seconds=0.05, target=1e-9)
    assert not noisy.converged
    assert 0.05 <= noisy.seconds < 5


def test_the_first_meter_decides() -> None:
    rng = np.random.default_rng(0)
    steady = repeat(lambda: (1.0, float(rng.exponential())), warmup=0, max_seconds=60, target=1e-9)
    assert steady.converged
    assert len(steady.values) == MIN_RUNS


def test_there_is_always_one_run() -> None:
    samples = repeat(runs_of([2.0]), warmup=50, max_seconds=1e-9, target=0.02)
    assert samples.values.tolist() == [[2.0, 1.0]]
    assert not samples.converged


def test_warm_up_lasts_until_times_are_stable() -> None:
    falling = [100.0 * 0.8**i for i in range(30)]
    samples = repeat(runs_of([*falling, 0.1]), warmup=0, max_seconds=60, target=0.02)
    assert samples.values[:, 0].max() == 0.1
