import math

import numpy as np
import pytest

from hwnas.ranking.label_process import _JITTER, BELIEF, LabelProcess, _misfit
from hwnas.typing import FloatArray


def matern(r: float) -> float:
    return (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)


def slow_posterior(
    groups: list[FloatArray], score: FloatArray, rows: np.ndarray, y: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Condition a normal vector on some of its members, entry by entry."""
    n = len(score)
    k = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            squares = [((g[i] - g[j]) ** 2).mean() for g in groups]
            k[i, j] = math.exp(p[0]) * score[i] * score[j]
            for t, square in enumerate([*squares, sum(squares) / len(squares)]):
                r = math.sqrt(square) / math.exp(p[2 + 2 * t])
                k[i, j] += math.exp(p[1 + 2 * t]) * matern(r)
    noise = math.exp(p[-2]) + _JITTER
    inverse = np.linalg.inv(k[np.ix_(rows, rows)] + noise * np.eye(len(rows)))
    before = p[-1] + BELIEF * score
    mean = before + k[:, rows] @ inverse @ (y - before[rows])
    variance = np.diag(k) - np.einsum("ij,jk,ik->i", k[:, rows], inverse, k[:, rows]) + noise
    return mean, np.sqrt(variance)


def problem() -> tuple[list[FloatArray], FloatArray, np.ndarray, FloatArray]:
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(30, 2)), rng.normal(size=(30, 3))]
    score = rng.normal(size=30)
    rows = np.array([3, 1, 20, 7, 11, 28, 15, 5])
    return groups, score, rows, np.sin(groups[0][rows, 0]) + 0.5 * score[rows]


def test_the_posterior_is_that_of_the_joint_normal_distribution() -> None:
    groups, score, rows, y = problem()
    process = LabelProcess(groups, score).fit(rows, y)
    expected = slow_posterior(groups, score, rows, y, process._parameters)
    np.testing.assert_allclose(process.predict(), expected, atol=1e-8)


def test_the_slope_of_the_likelihood() -> None:
    groups, score, rows, y = problem()
    process = LabelProcess(groups, score)
    distances, outer = process._distances(rows, rows), np.outer(score[rows], score[rows])
    at = np.array([-1.0, -0.5, 0.2, -1.5, -0.3, -2.0, 0.1, -1.2, 0.3])
    slope = _misfit(at, distances, outer, y)[1]
    for i, step in enumerate(1e-6 * np.eye(len(at))):
        up, down = (_misfit(at + sign * step, distances, outer, y)[0] for sign in (1, -1))
        assert slope[i] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


def test_labels_that_contradict_the_score_outweigh_it() -> None:
    rng = np.random.default_rng(1)
    score, nothing = rng.normal(size=200), np.zeros((200, 0))
    few, many = np.arange(1), np.arange(60)
    for rows, sign in ((few, 1), (many, -1)):
        mean, _ = LabelProcess([nothing], score).fit(rows, -score[rows]).predict()
        assert np.sign(np.corrcoef(mean[60:], score[60:])[0, 1]) == sign


@pytest.mark.parametrize("n", [10, 5000])
def test_a_large_pool_is_predicted_in_parts(n: int) -> None:
    score = np.linspace(-1, 1, n)
    mean, deviation = LabelProcess([score[:, None]], score).fit(np.array([0]), score[:1]).predict()
    assert mean.shape == deviation.shape == (n,)
    assert np.all(np.diff(mean) > 0)
