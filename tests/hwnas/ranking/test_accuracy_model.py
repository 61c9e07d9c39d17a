from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import ndtri, stdtrit

from hwnas.errors import InvalidValueError
from hwnas.ranking.accuracy_model import Accuracies, AccuracyModel, AccuracyScale, best_last
from hwnas.ranking.label_process import Points
from hwnas.typing import FloatArray


def learned(
    groups: Sequence[FloatArray],
    scores: Sequence[FloatArray],
    rows: Sequence[int],
    labels: npt.ArrayLike,
) -> Accuracies:
    """Learn what is expected of all rows from labels of some."""
    columns = [best_last(score) for score in scores]
    table = np.array(columns).reshape(len(columns), len(groups[0])).T
    pool = Points([group - group.mean(axis=0) for group in groups], table)
    return AccuracyModel(0).fit(pool.take(np.array(rows)), labels).predict(pool)


def told(means: list[float], deviations: list[float], labels: list[float]) -> Accuracies:
    scale = AccuracyScale.of(labels)
    return Accuracies(np.array(means), np.array(deviations), scale, len(labels))


def test_the_scale_has_the_labels_at_their_normal_scores() -> None:
    labels = [50.0, 90.0, 70.0, 60.0]
    scale = AccuracyScale.of(labels)
    at = ndtri(np.array([0.125, 0.875, 0.625, 0.375]))
    np.testing.assert_allclose(scale(at), labels)
    # Beyond the last one the slope of the outermost quarter goes on, up to 100.
    slope = (90 - 70) / (at[1] - at[2])
    assert scale(np.array([at[1] + 0.1]))[0] == pytest.approx(90 + 0.1 * slope)
    assert scale(np.array([-9.0, 9.0])).tolist() == [0, 100]


def test_equal_labels_are_a_constant() -> None:
    scale = AccuracyScale.of([70.0, 70.0])
    assert scale(np.array([-3.0, 0.0, 3.0])).tolist() == [70, 70, 70]


def test_expectation_and_interval_on_a_straight_scale() -> None:
    # Labels on a line in normal scores: accuracy = 50 + 5 z everywhere near.
    labels = (50 + 5 * ndtri((np.arange(1, 42) - 0.5) / 41)).tolist()
    found = told([0.3, -1.0], [0.4, 0.2], labels)
    np.testing.assert_allclose(found.expected(), [51.5, 45.0], atol=1e-6)
    low, high = found.interval(0.9)
    reach = float(stdtrit(40, 0.95)) * 5 * np.array([0.4, 0.2])
    np.testing.assert_allclose(low, np.array([51.5, 45.0]) - reach, atol=1e-6)
    np.testing.assert_allclose(high, np.array([51.5, 45.0]) + reach, atol=1e-6)


def test_the_chances_to_be_among_the_best_sum_to_their_number() -> None:
    rng = np.random.default_rng(0)
    found = told(rng.normal(size=400).tolist(), [0.5] * 400, [60.0, 70.0])
    chances = found.chance_among_best(0.05)
    assert chances.sum() == pytest.approx(20)
    assert np.all(np.diff(chances[np.argsort(found.means)]) >= 0)
    # The bar is that of a population that the first half need not belong to.
    part = found.chance_among_best(0.05, of=np.arange(200, 400))
    assert part[200:].sum() == pytest.approx(10)


def test_a_function_of_the_inputs_is_learned_with_its_uncertainty() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 3))
    truth = 70 + 10 * np.tanh(inputs[:, 0]) + rng.normal(size=600)
    rows = range(80)
    found = learned([inputs], [], rows, truth[rows])
    assert found.labels == 80
    assert np.corrcoef(found.expected()[80:], truth[80:])[0, 1] > 0.97
    for level, most in ((0.5, 0.8), (0.95, 0.995)):
        low, high = found.interval(level)
        inside = np.mean((truth >= low)[80:] & (truth <= high)[80:])
        assert level - 0.05 < inside < most


def test_only_the_order_of_accuracies_and_of_the_score_decides_the_order() -> None:
    rng = np.random.default_rng(3)
    inputs, score = rng.normal(size=(90, 2)), rng.normal(size=90)
    labels = 50 + 10 * score[:30] + rng.normal(size=30)
    rows = range(30)
    first = learned([inputs], [score], rows, labels)
    second = learned([inputs], [np.exp(3 * score)], rows, np.exp(labels / 20))
    np.testing.assert_array_equal(first.means, second.means)


def test_two_labels_follow_the_score() -> None:
    score = np.arange(50.0)
    found = learned([np.zeros((50, 0)) + 1.0], [score], [10, 30], [60.0, 70.0])
    assert np.all(np.diff(found.means) > 0)


@pytest.mark.parametrize("labels", [[1.0], [1.0, math.nan], [1.0, 2.0, 3.0]])
def test_labels_must_be_numbers_of_the_rows(labels: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="at least 2 finite numbers"):
        learned([np.ones((4, 1))], [], list(range(min(len(labels), 2))), labels)


def test_labels_that_are_all_alike_in_everything() -> None:
    score = np.array([0.0, 0.0, 1.0])
    found = learned([np.zeros((3, 0))], [score], [0, 1], [60.0, 70.0])
    assert found.means[2] > found.means[0]
