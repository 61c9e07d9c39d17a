"""Rank metrics against hand-derived numbers, slow independent versions and published figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.data.nasbench201 import accuracies
from hwnas.errors import InvalidValueError
from hwnas.ranking.metrics import (
    kendall,
    ndcg,
    rank_metrics,
    seed_stability,
    spearman,
    top_by_accuracy,
    top_hits,
    top_overlap,
    top_weights,
)
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import FloatArray

NAN = math.nan
CORRELATIONS = [spearman, kendall]
Metric = Callable[[list[float], list[float]], float]

score = st.one_of(st.integers(-3, 3).map(float), st.just(NAN))
pairs = st.lists(st.tuples(score, st.integers(0, 6).map(float)), min_size=2, max_size=12)


def known(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def slow_ranks(values: list[float]) -> list[float]:
    return [
        sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2
        for v in map(known, values)
    ]


def slow_spearman(scores: list[float], truth: list[float]) -> float:
    a, b = slow_ranks([known(s) for s in scores]), slow_ranks(truth)
    mean = (len(a) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    norm = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return covariance / math.sqrt(norm) if norm else NAN


def slow_kendall(scores: list[float], truth: list[float]) -> float:
    balance = untied_scores = untied_truth = 0
    points = zip(map(known, scores), truth, strict=True)
    for (s, a), (t, b) in itertools.combinations(points, 2):
        x, y = (s > t) - (s < t), (a > b) - (a < b)
        balance += x * y
        untied_scores += x * x
        untied_truth += y * y
    norm = untied_scores * untied_truth
    return balance / math.sqrt(norm) if norm else NAN


def test_spearman_by_hand() -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 1, 1, 0: 1 - 12 / 60.
    assert spearman([1, 3, 2, 4], [10, 20, 30, 40]) == pytest.approx(0.8)


def test_kendall_by_hand() -> None:
    # Of six pairs one is discordant: 4 / 6. With a tie in the scores: (5 - 0) / sqrt(5 * 6).
    assert kendall([1, 3, 2, 4], [10, 20, 30, 40]) == pytest.approx(4 / 6)
    assert kendall([1, 2, 2, 4], [10, 20, 30, 40]) == pytest.approx(5 / math.sqrt(30))


def test_missing_scores_stay_and_rank_worst() -> None:
    # The missing one is the best: ranks 2, 3, 4, 1 against 1, 2, 3, 4; it is not dropped.
    assert spearman([1, 2, 3, NAN], [1, 2, 3, 4]) == pytest.approx(1 - 6 * 12 / 60)
    assert kendall([1, 2, 3, NAN], [1, 2, 3, 4]) == 0
    # Two missing ones tie: of six pairs one is tied, and all others agree.
    assert kendall([NAN, NAN, 3, 4], [1, 2, 3, 4]) == pytest.approx(5 / math.sqrt(30))
    assert kendall([NAN, -math.inf, 3, 4], [1, 2, 3, 4]) == pytest.approx(5 / math.sqrt(30))


@given(pairs)
def test_correlations_against_slow_versions(points: list[tuple[float, float]]) -> None:
    scores, truth = [s for s, _ in points], [a for _, a in points]
    assert spearman(scores, truth) == pytest.approx(slow_spearman(scores, truth), nan_ok=True)
    assert kendall(scores, truth) == pytest.approx(slow_kendall(scores, truth), nan_ok=True)


@pytest.mark.parametrize("metric", CORRELATIONS)
def test_no_correlation_with_a_constant(metric: Metric) -> None:
    assert math.isnan(metric([1, 1, 1], [1, 2, 3]))
    assert math.isnan(metric([1, 2, 3], [5, 5, 5]))
    assert math.isnan(metric([1], [1]))
    assert math.isnan(metric([], []))


@given(pairs)
def test_only_the_order_of_the_scores_counts(points: list[tuple[float, float]]) -> None:
    scores, truth = [s for s, _ in points], [a for _, a in points]
    scaled = [math.exp(3 * s) for s in scores]
    for name, value in rank_metrics(scores, truth, p=3).items():
        assert rank_metrics(scaled, truth, p=3)[name] == pytest.approx(value, nan_ok=True)


def test_ndcg_by_hand() -> None:
    # Gains 1, 3, 7 for 1, 2, 3 percent. The order of the scores takes them as 3, 7, 1.
    gained = 3 / math.log2(2) + 7 / math.log2(3) + 1 / math.log2(4)
    ideal = 7 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
    assert ndcg([0, 9, 5], [1, 2, 3]) == pytest.approx(gained / ideal)
    assert ndcg([0, 9, 5], [1, 2, 3], p=1) == pytest.approx(3 / 7)


def test_ndcg_takes_ties_in_the_given_order_and_missing_ones_last() -> None:
    assert ndcg([5, 5, 0], [1, 3, 2], p=1) == pytest.approx(1 / 7)
    assert ndcg([5, 5, 0], [3, 1, 2], p=1) == 1
    assert ndcg([NAN, 0], [3, 1], p=1) == pytest.approx(1 / 7)


def test_ndcg_of_high_accuracies() -> None:
    # 2^94 against 2^93 and no more: 1 is far below the last digit.
    assert ndcg([1, 2], [94, 93], p=1) == pytest.approx(0.5, rel=1e-12)
    assert ndcg([2, 1], [100, 0]) == 1
    assert math.isnan(ndcg([1, 2], [0, 0]))


@given(pairs, st.integers(1, 15))
def test_ndcg_against_a_slow_version(points: list[tuple[float, float]], p: int) -> None:
    def gained(order: list[tuple[float, float]]) -> float:
        return sum((2**a - 1) / math.log2(i + 1) for i, (_, a) in enumerate(order[:p], start=1))

    by_score = sorted(points, key=lambda point: -known(point[0]))
    by_accuracy = sorted(points, key=lambda point: -point[1])
    expected = gained(by_score) / gained(by_accuracy) if gained(by_accuracy) else NAN
    result = ndcg([s for s, _ in points], [a for _, a in points], p)
    assert result == pytest.approx(expected, nan_ok=True)


def test_the_top_by_accuracy() -> None:
    assert top_by_accuracy([5, 1, 4, 2, 3], 0.4).tolist() == [True, False, True, False, False]
    # Equal ones at the border are all in; there is always one.
    assert top_by_accuracy([5, 4, 4, 2, 3], 0.4).tolist() == [True, True, True, False, False]
    assert top_by_accuracy([1, 2, 3], 0.01).tolist() == [False, False, True]


def test_correlations_of_the_top() -> None:
    # The ten best of 100 are in reverse, all others in order; the five best likewise.
    truth = np.arange(100.0) / 2
    scores = np.concatenate([np.arange(90), np.arange(100, 90, -1)])
    metrics = rank_metrics(scores, truth)
    for name in ("spearman_top10", "kendall_top10", "spearman_top5", "kendall_top5"):
        assert metrics[name] == pytest.approx(-1)
    # 45 of 4,950 pairs are discordant.
    assert metrics["kendall"] == pytest.approx(1 - 90 / 4950)
    # Only the order of the top five is spoilt, by one exchange of neighbours: 1 - 2 / 10.
    scores = np.arange(100.0)
    scores[[98, 99]] = 99, 98
    assert rank_metrics(scores, truth)["kendall_top5"] == pytest.approx(0.8)
    assert rank_metrics(scores, truth)["kendall_top10"] == pytest.approx(1 - 2 / 45)


def test_overlaps_by_hand() -> None:
    truth = np.arange(20.0)
    scores = truth.copy()
    scores[19] = -1  # the best one is lost, 17 takes its place
    assert top_overlap(scores, truth) == 0.5
    assert top_overlap(truth, truth) == 1
    assert top_hits(scores, truth, k=3, fraction=0.1) == 1
    assert top_hits(truth, truth, k=3, fraction=0.1) == 2
    assert top_hits(truth, truth) == 1  # 5 % of 20, all of them among the first 64
    # A constant hits as chance does.
    assert top_overlap(np.zeros(20), truth) == pytest.approx(0.1)
    assert top_hits(np.full(20, NAN), truth, k=10, fraction=0.1) == pytest.approx(1)


def test_overlaps_of_a_large_population() -> None:
    n = 2000
    metrics = rank_metrics(np.arange(n), np.arange(n) / n)
    assert metrics["best_accuracy"] == pytest.approx((n - 1) / n)
    # Two share the highest score: the mean of their accuracies.
    assert rank_metrics([2.0, 1.0, 2.0], [70.0, 90.0, 80.0])["best_accuracy"] == 75
    assert metrics["top64_top5"] == 64
    assert metrics["top10_top10"] == 1
    backwards = rank_metrics(-np.arange(n), np.arange(n) / n)
    assert backwards["top64_top5"] == 0
    assert backwards["top10_top10"] == 0


@given(st.lists(score, min_size=1, max_size=5), st.integers(1, 6))
def test_top_weights_are_the_mean_over_all_ways_to_break_ties(scores: list[float], k: int) -> None:
    orders = list(itertools.permutations(range(len(scores))))
    expected = np.zeros(len(scores))
    for order in orders:
        best = sorted(order, key=lambda i: -known(scores[i]))[:k]
        expected[best] += 1 / len(orders)
    np.testing.assert_allclose(top_weights(scores, k), expected, atol=1e-12)


def test_seed_stability() -> None:
    assert seed_stability([1, 2, 3], [10, 20, 30]) == 1
    # One seed fails for the first, the other for the last: ranks 1, 2, 3 and 2, 3, 1.
    assert seed_stability([NAN, 2, 3], [1, 2, NAN]) == pytest.approx(-0.5)


def test_errors() -> None:
    with pytest.raises(InvalidValueError, match=r"scores' shape \(3,\), but got \(2,\)"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(InvalidValueError, match="1 of 2 are not"):
        kendall([1, 2], [1, NAN])
    with pytest.raises(InvalidValueError, match=r"shape \(n,\)"):
        ndcg([[1, 2]], [[1, 2]])
    with pytest.raises(InvalidValueError, match="`p` must be at least 1"):
        ndcg([1, 2], [1, 2], p=0)
    with pytest.raises(InvalidValueError, match="in percent"):
        ndcg([1, 2], [1, 101])
    with pytest.raises(InvalidValueError, match="`fraction`"):
        top_overlap([1, 2], [1, 2], fraction=0)


def live_counts() -> tuple[list[str], FloatArray, FloatArray]:
    """Give the live cells in a random order, their convolution FLOPs up to a factor, and layers."""
    cells = [cell for cell in NasBench201() if cell.is_live()]
    cells = [cells[i] for i in np.random.default_rng(0).permutation(len(cells))]
    large = np.array([cell.operations.count("nor_conv_3x3") for cell in cells])
    small = np.array([cell.operations.count("nor_conv_1x1") for cell in cells])
    return [str(cell) for cell in cells], 9.0 * large + small, 1.0 * large + small


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize(
    ("dataset", "baseline", "published"),
    [
        ("cifar100", "flops", (0.586, 0.763, 0.576)),
        ("cifar100", "layers", (0.646, 0.787, 0.525)),
        ("ImageNet16-120", "flops", (0.545, 0.718, 0.403)),
        ("ImageNet16-120", "layers", (0.623, 0.764, 0.497)),
    ],
)
def test_published_figures_of_the_baselines(
    dataset: str, baseline: str, published: tuple[float, float, float]
) -> None:
    """VKDNW, Table I, 9,445 cells: Kendall, Spearman, nDCG@1000, with ties in a random order."""
    names, flops, layers = live_counts()
    assert len(names) == 9445
    table = accuracies(dataset, "test")
    truth = np.array([table[name] for name in names])
    metrics = rank_metrics(flops if baseline == "flops" else layers, truth)
    assert metrics["kendall"] == pytest.approx(published[0], abs=0.005)
    assert metrics["spearman"] == pytest.approx(published[1], abs=0.005)
    assert metrics["ndcg"] == pytest.approx(published[2], abs=0.03)


@pytest.mark.data
def test_the_published_figures_of_cifar10_belong_to_all_training_images(data_folder: Path) -> None:
    """VKDNW, Table I, FLOPs and layers of CIFAR-10: test accuracy, trained on all 50,000 images."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    file = data_folder / "nasbench201/nasbench201_accuracy.parquet"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    names, flops, layers = live_counts()
    table = pd.read_parquet(file).set_index("arch_str")["cifar10_test_acc"]
    truth = table.loc[names].to_numpy(dtype=float)
    for scores, published in ((flops, (0.623, 0.799, 0.745)), (layers, (0.626, 0.767, 0.671))):
        metrics = rank_metrics(scores, truth)
        assert metrics["kendall"] == pytest.approx(published[0], abs=0.005)
        assert metrics["spearman"] == pytest.approx(published[1], abs=0.005)
        assert metrics["ndcg"] == pytest.approx(published[2], abs=0.03)
