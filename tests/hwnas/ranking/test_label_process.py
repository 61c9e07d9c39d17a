import math

import numpy as np
import pytest

from hwnas.ranking.label_process import (
    _JITTER,
    LabelProcess,
    Points,
    Trust,
    _distances,
    _misfit,
    _outer,
)
from hwnas.typing import FloatArray


def matern(r: float) -> float:
    return (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)


def slow_posterior(
    groups: list[FloatArray], scores: FloatArray, rows: np.ndarray, y: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Condition a normal vector on some of its members, entry by entry."""
    n, q = scores.shape
    k = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            squares = [((g[i] - g[j]) ** 2).mean() for g in groups]
            k[i, j] = sum(math.exp(p[s]) * scores[i, s] * scores[j, s] for s in range(q))
            ends = q + 2 * len(groups)
            for t, square in enumerate(squares):
                a, length = p[q + 2 * t : q + 2 * t + 2]
                k[i, j] += math.exp(a) * matern(math.sqrt(square) / math.exp(length))
            lengths = np.exp(p[ends + 1 : ends + 1 + len(groups)])
            k[i, j] += math.exp(p[ends]) * matern(math.sqrt((squares / lengths**2).mean()))
    noise = math.exp(p[-2]) + _JITTER
    inverse = np.linalg.inv(k[np.ix_(rows, rows)] + noise * np.eye(len(rows)))
    before = p[-1] + 0.3 * scores.sum(axis=1) / q
    mean = before + k[:, rows] @ inverse @ (y - before[rows])
    variance = np.diag(k) - np.einsum("ij,jk,ik->i", k[:, rows], inverse, k[:, rows]) + noise
    return mean, np.sqrt(variance)


def problem(q: int) -> tuple[Points, np.ndarray, FloatArray]:
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(30, 2)), rng.normal(size=(30, 3))]
    scores = rng.normal(size=(30, q))
    rows = np.array([3, 1, 20, 7, 11, 28, 15, 5])
    return Points(groups, scores), rows, np.sin(groups[0][rows, 0]) + 0.5 * scores[rows, 0]


@pytest.mark.parametrize("q", [1, 2])
def test_the_posterior_is_that_of_the_joint_normal_distribution(q: int) -> None:
    pool, rows, y = problem(q)
    process = LabelProcess(Trust(weight=0.3)).fit(pool.take(rows), y)
    expected = slow_posterior(list(pool.groups), pool.scores, rows, y, process._parameters)
    np.testing.assert_allclose(process.predict(pool), expected, atol=1e-8)


def test_without_a_score_nothing_is_expected_before() -> None:
    far = Points([np.array([[0.0], [0.1], [99.0]])], np.zeros((3, 0)))
    process = LabelProcess().fit(far.take(slice(2)), np.array([1.0, 1.1]))
    assert process.predict(far)[0][2] == pytest.approx(process._parameters[-1])


def test_the_slope_of_the_likelihood() -> None:
    pool, rows, y = problem(2)
    points = pool.take(rows)
    distances, outer = _distances(points, points), _outer(points.scores)
    at = np.array([-1.0, -1.3, -0.5, 0.2, -1.5, -0.3, -2.0, 0.1, 0.4, -1.2, 0.3])
    slope = _misfit(at, points, distances, outer, y)[1]
    for i, step in enumerate(1e-6 * np.eye(len(at))):
        up, down = (_misfit(at + sign * step, points, distances, outer, y)[0] for sign in (1, -1))
        assert slope[i] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


def test_what_a_trusted_score_leaves_is_divided_between_terms_and_noise() -> None:
    centre = Trust(weight=0.8, smooth=0.75).priors(1, 3).T[0]
    amplitudes, noise = np.exp(centre[[1, 3, 5, 7]]), math.exp(centre[-2])
    np.testing.assert_allclose(amplitudes, 0.36 * 0.75 / 4)
    np.testing.assert_allclose(centre[[2, 4, 6, 8, 9, 10]], 0)  # a length a group, three of all
    assert noise == pytest.approx(0.36 * 0.25)
    # One score's weight is what is trusted; two may divide it in any way.
    assert math.sqrt(math.exp(centre[0])) < 0.2 * 0.8
    assert math.sqrt(math.exp(Trust(weight=0.8).priors(2, 0)[0, 0])) == pytest.approx(0.4, abs=0.02)


def test_the_misfit_is_the_likelihood_with_the_priors() -> None:
    pool, rows, y = problem(1)
    trust = Trust(0.6, 0.7)
    process = LabelProcess(trust).fit(pool.take(rows), y)
    n, p = len(rows), process._parameters
    joint = np.empty((n, n))
    for i in range(n):  # the covariance of the labels, column by column
        joint[:, i] = process._covariance(process._known, process._known.take(slice(i, i + 1)))[
            :, 0
        ]
    joint += process._noise * np.eye(n)
    rest = y - p[-1] - 0.6 * pool.scores[rows, 0]
    likelihood = (rest @ np.linalg.solve(joint, rest) + np.linalg.slogdet(joint)[1]) / 2
    centre, spread = trust.priors(1, 2).T
    assert process.misfit == pytest.approx(likelihood + (((p - centre) / spread) ** 2).sum() / 2)


@pytest.mark.parametrize("n", [10, 5000])
def test_a_large_pool_is_predicted_in_parts(n: int) -> None:
    score = np.linspace(-1, 1, n)
    pool = Points([score[:, None]], score[:, None])
    mean, deviation = LabelProcess().fit(pool.take(slice(1)), score[:1]).predict(pool)
    assert mean.shape == deviation.shape == (n,)
    assert np.all(np.diff(mean) > 0)


def test_labels_tell_which_of_two_scores_to_follow() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(300, 2))
    pool, rows = Points([np.zeros((300, 0))], scores), np.arange(12)
    mean, _ = LabelProcess().fit(pool.take(rows), scores[rows, 1]).predict(pool)
    right, wrong = (np.corrcoef(mean[12:], scores[12:, j])[0, 1] for j in (1, 0))
    assert right > 0.95 > 0.3 > wrong
