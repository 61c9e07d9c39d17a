"""Ranks and their correlations against scipy's, which are independent of ours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hwnas.ranking.ranks import average_ranks, kendall_tau_b, spearman_rho

SIZES = (2, 3, 31, 32, 33, 65, 1000)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("values", [2, 7, 10_000])
def test_like_scipy_with_few_and_many_ties(n: int, values: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(values, size=n).astype(float)
    y = np.where(rng.random(n) < 0.5, x, rng.integers(values, size=n))
    x[0], y[-1] = -1.0, -np.inf
    assert average_ranks(y).tolist() == stats.rankdata(y).tolist()
    if np.ptp(x) and len(set(y)) > 1:
        assert kendall_tau_b(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        assert spearman_rho(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_an_order_and_its_reverse(n: int) -> None:
    x = np.arange(n)
    assert kendall_tau_b(x, x) == 1.0
    assert kendall_tau_b(x, -x) == -1.0


def test_missing_values_have_no_rank() -> None:
    ranks = average_ranks([np.nan, 5.0, np.inf, 5.0, np.nan])
    assert np.array_equal(ranks, [np.nan, 1.5, 3.0, 1.5, np.nan], equal_nan=True)
    assert average_ranks([]).tolist() == []
