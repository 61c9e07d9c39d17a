import math

import numpy as np
import pytest

from hwnas.rank_study.comparison import Candidate, candidates, compare
from hwnas.ranking.bootstrap import bootstrap_interval
from hwnas.ranking.metrics import kendall
from hwnas.ranking.recipes import RECIPES


def test_ready_made_scores_are_listed_where_their_proxies_are() -> None:
    columns = {name: [1.0, 2.0] for name in RECIPES["az-nas"].proxies}
    assert [c.name for c in candidates(columns)] == [*columns, "az-nas"]
    del columns["flops"]
    assert [c.name for c in candidates(columns)] == list(columns)


def test_a_ready_made_score_joins_ranks_and_counts_failures_of_any_proxy() -> None:
    *_, joined = candidates({"jacob_cov": [1.0, math.nan, 3.0], "params": [5.0, 7.0, math.nan]})
    assert (joined.name, joined.kind, joined.failed) == ("jacob_cov+params", "ready-made", 2)
    # Ranks 2, 1, 3 and 2, 3, 1 of 3.
    np.testing.assert_allclose(joined.scores, np.log([4 / 9, 3 / 9, 3 / 9]))


def test_proxies_that_are_minimised_are_turned_round(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.proxies.naswot import NasWot

    monkeypatch.setattr(NasWot, "direction", "minimize")
    (candidate,) = candidates({"naswot": [1.0, math.nan, 3.0]})
    assert candidate.failed == 1
    np.testing.assert_array_equal(candidate.scores, [-1, math.nan, -3])


def test_the_row_of_a_score() -> None:
    scores = np.array([4.0, 3.0, math.nan, 1.0])
    truth = [40.0, 30.0, 20.0, 10.0]
    counts = [[1, 0], [0, 1], [0, 1], [1, 0]]
    candidate = Candidate("naswot", "proxy", scores, 1)
    row = compare(candidate, truth, counts, p=2, resamples=20, seed=4)
    assert row["n"] == 4
    assert row["failed"] == 1
    assert row["ndcg_p"] == 2
    assert row["ndcg"] == pytest.approx(1)
    # Ranks 4, 3, 1, 2 against 4, 3, 2, 1: one of six pairs is discordant.
    assert row["kendall"] == pytest.approx(4 / 6)
    assert row["operation_bias"] == 0
    expected = bootstrap_interval(lambda i: kendall(scores[i], np.array(truth)[i]), 4, 20, seed=4)
    np.testing.assert_array_equal(row["kendall_95"], expected)
    assert not [name for name in compare(candidate, truth, counts) if name.endswith("_95")]


def test_what_is_no_percentage_has_no_ndcg() -> None:
    truth = [-0.6, -0.7, -0.8]  # negative losses
    row = compare(Candidate("mine", "proxy", np.array([3.0, 2.0, 1.0]), 0), truth, [[1]] * 3)
    assert (row["kendall"], row["spearman"], row["best_accuracy"]) == (1.0, 1.0, -0.6)
    assert math.isnan(row["ndcg"])
    again = compare(Candidate("mine", "proxy", np.arange(3.0), 0), truth, [[1]] * 3, resamples=3)
    assert "ndcg_95" not in again
    assert "kendall_95" in again


def test_two_scores_are_compared_on_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(10, 90, size=60)
    good, worse = truth + rng.normal(size=60), truth + rng.normal(scale=30, size=60)
    # A monotone function of a score ranks alike: no difference in any resample.
    same = Candidate("same", "proxy", np.exp(good / 10), 0)
    first, other = Candidate("good", "proxy", good, 0), Candidate("worse", "proxy", worse, 0)
    counts = np.ones((60, 2))
    row = compare(first, truth, counts, resamples=40, seed=1, against=other)
    assert row["kendall_gain"] == pytest.approx(kendall(good, truth) - kendall(worse, truth))
    expected = bootstrap_interval(
        lambda i: kendall(good[i], truth[i]) - kendall(worse[i], truth[i]), 60, 40, seed=1
    )
    assert row["kendall_gain_95"] == list(expected)
    alike = compare(same, truth, counts, resamples=40, seed=1, against=first)
    assert alike["kendall_gain_95"] == [0, 0]
    assert "kendall_gain" not in compare(first, truth, counts, against=first)
    assert "kendall_gain_95" not in compare(first, truth, counts, against=other)
