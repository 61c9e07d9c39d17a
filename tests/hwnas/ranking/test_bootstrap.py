import math

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.errors import InvalidValueError
from hwnas.ranking.bootstrap import bootstrap_interval


def test_two_architectures_by_hand() -> None:
    # The mean of a resample of {0, 1} is 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    def mean(drawn: npt.NDArray[np.intp]) -> float:
        return float(drawn.mean())

    assert bootstrap_interval(mean, 2, 2000, seed=0) == (0, 1)
    assert bootstrap_interval(mean, 2, 2000, seed=0, level=0.4) == (0.5, 0.5)


def test_the_mean_has_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(lambda drawn: float(values[drawn].mean()), 400, 4000, seed=0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_seeds() -> None:
    def first(drawn: npt.NDArray[np.intp]) -> float:
        return float(drawn[0])

    one = bootstrap_interval(first, 1000, 50, seed=1)
    assert one == bootstrap_interval(first, 1000, 50, seed=1)
    assert one != bootstrap_interval(first, 1000, 50, seed=2)


def test_a_metric_without_a_value_has_no_interval() -> None:
    low, high = bootstrap_interval(lambda drawn: math.nan if drawn[0] == 0 else 1.0, 2, 100, seed=0)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(("n", "resamples", "level"), [(0, 10, 0.9), (5, 0, 0.9), (5, 10, 1.0)])
def test_errors(n: int, resamples: int, level: float) -> None:
    with pytest.raises(InvalidValueError, match="must be at least 1"):
        bootstrap_interval(lambda _: 0.0, n, resamples, seed=0, level=level)
