from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from hwnas.ranking.aggregation import normal_scores
from hwnas.strategies.features import standardised
from hwnas.strategies.gaussian_process import (
    LENGTH_SCALES,
    NOISES,
    PoolProcess,
)
from hwnas.typing import FloatArray

NONE = np.array([], dtype=np.intp)


@pytest.fixture
def features() -> FloatArray:
    return standardised(np.random.default_rng(0).normal(size=(40, 5)))


def targets_of(features: FloatArray, rows: np.ndarray) -> FloatArray:
    return normal_scores(np.sin(features[rows, 0]) + features[rows, 1] ** 2)


def kernel(features: FloatArray, length: float) -> FloatArray:
    scaled = features / np.sqrt(features.shape[1])
    squares = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-squares / (2 * length**2)))


def textbook(
    features: FloatArray, rows: np.ndarray, targets: FloatArray, pending: np.ndarray
) -> tuple[FloatArray, FloatArray]:
    """Rasmussen and Williams, Eq. 2.25 and 2.26, with the most likely grid point and scale."""
    fitted: list[tuple[float, float, float]] = []
    used = rows[:10] if len(rows) < 20 else rows[:20]
    scores = normal_scores(targets[: len(used)])
    for length in LENGTH_SCALES:
        for noise in NOISES:
            shape = kernel(features, length)[np.ix_(used, used)] + noise * np.eye(len(used))
            scale = scores @ np.linalg.solve(shape, scores) / len(used)
            likelihood = float(multivariate_normal(cov=scale * shape).logpdf(scores))
            fitted.append((likelihood, length, noise))
    _, length, noise = max(fitted)
    whole = kernel(features, length)
    known = whole[np.ix_(rows, rows)] + noise * np.eye(len(rows))
    scale = targets @ np.linalg.solve(known, targets) / len(rows)
    mean = whole[:, rows] @ np.linalg.solve(known, targets)
    seen = np.concatenate([rows, pending])
    covariance = whole[np.ix_(seen, seen)] + noise * np.eye(len(seen))
    explained = np.einsum("nk,kn->n", whole[:, seen], np.linalg.solve(covariance, whole[seen]))
    return mean, np.sqrt(scale * (1 - explained))


@pytest.mark.parametrize("labels", [10, 25])
def test_posterior_is_that_of_the_textbook(features: FloatArray, labels: int) -> None:
    rows, pending = np.arange(labels) * 3 % 40, np.array([35, 38])
    targets = targets_of(features, rows)
    mean, deviation = PoolProcess(features).posterior(rows, targets, pending)
    wanted_mean, wanted_deviation = textbook(features, rows, targets, pending)
    assert mean == pytest.approx(wanted_mean, abs=1e-9)
    assert deviation == pytest.approx(wanted_deviation, abs=1e-6)


def test_labels_one_by_one_give_the_same_bits_as_all_at_once(features: FloatArray) -> None:
    rows = np.random.default_rng(1).permutation(40)
    growing = PoolProcess(features)
    for k in range(10, 38):
        targets = targets_of(features, rows[:k])
        # Two that are pending are told in the other order.
        pending = rows[[k + 1, k]] if k % 3 == 0 else rows[k : k + 1]
        grown = growing.posterior(rows[:k], targets, pending)
        fresh = PoolProcess(features).posterior(rows[:k], targets, pending)
        assert np.array_equal(grown, fresh)


def test_pending_ones_lower_the_deviation_and_keep_the_mean(features: FloatArray) -> None:
    rows, pending = np.arange(12), np.array([20])
    targets = targets_of(features, rows)
    mean, deviation = PoolProcess(features).posterior(rows, targets, NONE)
    same, lower = PoolProcess(features).posterior(rows, targets, pending)
    assert same == pytest.approx(mean)
    assert (lower <= deviation).all()
    assert lower[20] < 0.7 * deviation[20]


def test_normal_scores_are_quantiles_of_ranks() -> None:
    scores = normal_scores([30.0, 10.0, 20.0, 20.0])
    assert scores == pytest.approx(norm.ppf([7 / 8, 1 / 8, 1 / 2, 1 / 2]))
    assert len(normal_scores([])) == 0
    gap = normal_scores([np.nan, 2.0, 1.0])
    assert np.isnan(gap[0])
    assert gap[1:] == pytest.approx(norm.ppf([3 / 4, 1 / 4]))


def test_standardised_drops_constants_and_fills_gaps() -> None:
    table = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, 1.0], [5.0, 5.0, 3.0]])
    scaled = standardised(table)
    assert scaled[:, 0] == pytest.approx(np.array([-1, 0, 1]) * np.sqrt(1.5))
    assert scaled[:, 1] == pytest.approx([0, -1, 1])
    assert standardised(np.ones((3, 2))).shape == (3, 0)
