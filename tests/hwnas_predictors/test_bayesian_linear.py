"""The posterior against the textbook's Gaussian process in the space of functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hwnas.typing import FloatArray
from hwnas_predictors.bayesian_linear import (
    NOISE_GRID,
    Design,
    LogNormal,
    NormalMixture,
    Posterior,
    evidence_without,
    most_informative,
)

PRIOR = LogNormal(-2.0, 0.8)


@pytest.fixture(params=[(4, 9), (12, 5)], ids=["more features", "more targets"])
def data(request: pytest.FixtureRequest) -> tuple[FloatArray, FloatArray, FloatArray]:
    s, p = request.param
    rng = np.random.default_rng(0)
    features = rng.normal(size=(s, p))
    targets = features @ rng.normal(size=p) + 0.1 * rng.normal(size=s)
    return features, targets, rng.normal(size=(7, p))


def by_kernel(
    features: FloatArray, targets: FloatArray, new: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Condition a Gaussian process at every noise level; weights by its marginal likelihood."""
    weights, means, variances = [], [], []
    for noise in NOISE_GRID:
        covariance = features @ features.T + noise**2 * np.eye(len(targets))
        evidence = stats.multivariate_normal(cov=covariance).logpdf(targets)
        weights.append(np.exp(evidence + stats.norm(*vars(PRIOR).values()).logpdf(np.log(noise))))
        cross = new @ features.T
        means.append(cross @ np.linalg.solve(covariance, targets))
        known = np.einsum("ns,sn->n", cross, np.linalg.solve(covariance, cross.T))
        variances.append(np.sum(new**2, axis=1) - known + noise**2)
    share = np.array(weights) / np.sum(weights)
    return share, np.array(means), np.array(variances)


def test_posterior_is_that_of_the_gaussian_process(
    data: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    features, targets, new = data
    share, means, variances = by_kernel(features, targets, new)
    found = Posterior.of(features, targets, PRIOR).predict(new)
    mean = share @ means
    std = np.sqrt(share @ (variances + means**2) - mean**2)
    np.testing.assert_allclose(found.mean, mean, rtol=5e-3, atol=1e-3)
    np.testing.assert_allclose(found.std, std, rtol=5e-3)


def test_components_are_exact(data: tuple[FloatArray, FloatArray, FloatArray]) -> None:
    features, targets, new = data
    share, means, variances = by_kernel(features, targets, new)
    posterior = Posterior.of(features, targets, PRIOR)
    kept = np.isin(NOISE_GRID, posterior.noises)
    np.testing.assert_allclose(posterior.weights, share[kept] / share[kept].sum(), rtol=1e-8)
    found = posterior.predict(new)
    np.testing.assert_allclose(found.means, means[kept], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.stds**2, variances[kept], rtol=1e-6)


def test_evidence_without_a_target_is_that_of_the_others(
    data: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    features, targets, _ = data
    total, found = evidence_without(features, targets, PRIOR)
    assert total == pytest.approx(Posterior.weighed(features, targets, PRIOR)[1], rel=1e-9)
    for i in range(len(targets)):
        others = np.delete(np.arange(len(targets)), i)
        alone = Posterior.weighed(features[others], targets[others], PRIOR)[1]
        assert found[i] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95])
def test_quantile_of_one_normal_and_of_two(probability: float) -> None:
    one = NormalMixture(np.ones(1), np.array([[2.0, -1.0]]), np.array([[0.5, 3.0]]))
    expected = stats.norm([2.0, -1.0], [0.5, 3.0]).ppf(probability)
    np.testing.assert_allclose(one.quantile(probability), expected, atol=1e-4)
    two = NormalMixture(np.array([0.3, 0.7]), np.array([[0.0], [4.0]]), np.array([[1.0], [2.0]]))
    at = two.quantile(probability)[0]
    mass = 0.3 * stats.norm(0, 1).cdf(at) + 0.7 * stats.norm(4, 2).cdf(at)
    assert mass == pytest.approx(probability, abs=1e-4)


def mean_variance(design: Design, rows: list[int]) -> float:
    """Give the population's mean variance after some rows were measured, by inverting precision."""
    chosen, population = design.candidates[rows], design.population
    precision = np.eye(chosen.shape[1]) + chosen.T @ chosen / design.noise**2
    inverse = np.linalg.inv(precision)
    return float(np.einsum("np,pq,nq->n", population, inverse, population).mean())


def greedy(designs: list[Design], n: int) -> list[int]:
    """Choose rows by the sum of what is left of each design's mean variance, by hand."""
    found: list[int] = []
    for _ in range(n):
        left = {
            row: sum(mean_variance(d, [*found, row]) / mean_variance(d, found) for d in designs)
            for row in range(len(designs[0].candidates))
            if row not in found
        }
        found.append(min(left, key=lambda row: left[row]))
    return found


def test_design_lowers_the_mean_variance_the_most() -> None:
    rng = np.random.default_rng(3)
    design = Design(rng.normal(size=(9, 4)), rng.normal(size=(50, 4)), 0.3)
    assert most_informative([design], 5) == greedy([design], 5)


def test_designs_that_disagree_are_added_up() -> None:
    rng = np.random.default_rng(3)
    # Of other sizes: shares count, not variances.
    one = Design(rng.normal(size=(9, 4)), rng.normal(size=(50, 4)), 0.3)
    other = Design(10 * rng.normal(size=(9, 6)), 10 * rng.normal(size=(50, 6)), 2.0)
    found = most_informative([one, other], 5)
    assert found == greedy([one, other], 5)
    assert found not in (greedy([one], 5), greedy([other], 5))


def test_further_targets_are_learned_as_if_all_had_come_at_once() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(14, 5))
    targets = features @ rng.normal(size=5) + 0.1 * rng.normal(size=14)
    prior = LogNormal(-2.3, 0.2)  # few noise levels matter, before and after
    first, before = Posterior.weighed(features[:9], targets[:9], prior)
    both, log_further = first.observed(features[9:], targets[9:])
    whole, all_at_once = Posterior.weighed(features, targets, prior)
    new = rng.normal(size=(20, 5))
    np.testing.assert_allclose(both.predict(new).mean, whole.predict(new).mean, rtol=5e-3)
    np.testing.assert_allclose(both.predict(new).std, whole.predict(new).std, rtol=2e-2)
    assert before + log_further == pytest.approx(all_at_once, abs=0.05)
