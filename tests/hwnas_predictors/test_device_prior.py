from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from hwnas.typing import DeadOperations
from hwnas_predictors.beliefs import Views
from hwnas_predictors.device_prior import (
    BROAD,
    BROAD_ALONE,
    BROAD_PAIRS,
    BROAD_REST,
    OFFSET_VARIANCE,
    broad_variances,
    learn_prior,
    negative_evidence,
)


def test_evidence_and_its_derivatives() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(6, 3)), rng.normal(size=(6, 2))]
    kernels = np.stack([part @ part.T for part in parts])
    targets, point = rng.normal(size=6), np.array([-0.3, 0.7, -1.1])

    def value(point: np.ndarray) -> float:
        return negative_evidence(kernels, targets, point[:2], float(point[2]))[0]

    covariance = np.exp(-0.3) * kernels[0] + np.exp(0.7) * kernels[1] + OFFSET_VARIANCE
    covariance += np.exp(-2.2) * np.eye(6)
    expected = -stats.multivariate_normal(cov=covariance).logpdf(targets) - 3 * np.log(2 * np.pi)
    assert value(point) == pytest.approx(expected)
    _, by_variance, by_noise = negative_evidence(kernels, targets, point[:2], float(point[2]))
    numeric = optimize.approx_fprime(point, value, 1e-7)
    np.testing.assert_allclose([*by_variance, by_noise], numeric, rtol=1e-4)


def test_components_span_the_devices() -> None:
    rng = np.random.default_rng(1)
    features, common = rng.normal(size=(400, 8)), rng.normal(size=(8, 2))
    targets = rng.normal(size=(6, 2)) @ common.T @ features.T + 0.01 * rng.normal(size=(6, 400))
    targets[2, ::5] = np.nan
    views: Views = {"executed": [features[:, :2], features]}
    prior = learn_prior(views, ["executed"] * 6, targets, 2, sample=60, seed=0)
    assert prior.components.shape == (8, 2)
    # Both components lie in the plane of the true weights.
    rest = prior.components - common @ np.linalg.lstsq(common, prior.components, rcond=None)[0]
    assert np.linalg.norm(rest) < 0.02 * np.linalg.norm(prior.components)
    # Devices differ in these components alone: the other blocks get little weight.
    heavy, free, *wide = prior.scales
    assert heavy.variances[0] > 100 * heavy.variances[1:].max()
    assert heavy.noise.mean == pytest.approx(np.log(0.01), abs=0.3)
    # The others do without the components.
    assert not any(scales.variances[0] for scales in (free, *wide))
    assert free.variances[1:].min() > 0
    used = [(scales.variances > 0).tolist() for scales in wide]
    assert used == [[False, True, True], [False, True, False], [False, True, False]]


def test_broad_variances_vary_targets_by_what_they_say() -> None:
    rng = np.random.default_rng(2)
    blocks = [3 * rng.normal(size=(2000, 4)), 0.2 * rng.normal(size=(2000, 30))]
    variances = broad_variances({"executed": blocks})
    for block, variance, wanted in zip(blocks, variances, (BROAD, BROAD_PAIRS), strict=True):
        drawn = block @ (np.sqrt(variance) * rng.normal(size=(block.shape[1], 300)))
        assert drawn.var() == pytest.approx(wanted, rel=0.15)


def test_broad_variances_are_of_the_mean_square_over_the_views() -> None:
    """A block that one view has as zeros, around the mean of both, counts there, too."""
    rng = np.random.default_rng(4)
    there = 2 + rng.normal(size=(2000, 3))
    views: Views = {
        "executed": [np.full((2000, 3), -1.0), there - 1],
        "pruned": [there - 1, there - 1],
    }
    first, _ = broad_variances(views)
    drawn = np.sqrt(first) * rng.normal(size=(3, 4000))
    squares = [np.mean((view[0] @ drawn) ** 2) for view in views.values()]
    assert np.mean(squares) == pytest.approx(BROAD, rel=0.1)
    # A feature's mean squares are 2 and 1; half of the former is its mean, and constant.
    assert (views["pruned"][0] @ drawn).var(axis=0).mean() == pytest.approx(BROAD / 1.5, rel=0.1)


def test_devices_of_two_views_are_learned_together() -> None:
    """Weights are common: what a device of one view says helps one of the other."""
    rng = np.random.default_rng(3)
    exact = rng.normal(size=(300, 6))
    views: Views = {"executed": [exact], "pruned": [exact * rng.integers(0, 2, (300, 1))]}
    seen: list[DeadOperations] = ["executed", "pruned", "executed", "pruned"]
    weights = rng.normal(size=6) * rng.uniform(0.5, 2, (4, 1))
    targets = np.stack([views[v][0] @ w for v, w in zip(seen, weights, strict=True)])
    prior = learn_prior(views, seen, targets, 1, sample=60, seed=0)
    # The one component is the weights that all devices have, up to a factor.
    cosine = prior.components[:, 0] @ weights[0]
    cosine /= np.linalg.norm(prior.components) * np.linalg.norm(weights[0])
    assert abs(cosine) > 0.99


def test_merged_branches_are_an_alternative_that_no_variance_is_learned_of() -> None:
    rng = np.random.default_rng(4)
    blocks = [rng.normal(size=(200, 2)) for _ in range(6)]
    views: Views = {"executed": blocks, "pruned": blocks}
    targets = rng.normal(size=(3, 2)) @ blocks[1].T
    prior = learn_prior(views, ["pruned"] * 3, targets, 1, sample=40, seed=0, merged=4)
    variances = np.array([scales.variances[1:] for scales in prior.scales])
    beside = variances[:, 4] > 0
    assert not beside[:2].any()
    assert beside.sum() == 3
    # Blocks 2 and 3, then 3, then none beside it; never counts and what runs one after another. A
    # rest of all is always there.
    assert (variances[beside] > 0).tolist() == [
        [False, False, True, True, True, True],
        [False, False, False, True, True, True],
        [False, False, False, False, True, True],
    ]
    rests, pairs = variances[[scales.of_pruned for scales in prior.scales], 5], variances[2, 5]
    np.testing.assert_allclose(rests, pairs * BROAD_REST / BROAD_PAIRS)
    assert all(scales.of_pruned for scales, own in zip(prior.scales, beside, strict=True) if own)
    alone, together = variances[beside][2], variances[beside][1]
    np.testing.assert_allclose(alone[4], BROAD_ALONE * together[4])
