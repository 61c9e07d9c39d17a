from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from hwnas_predictors.device_prior import OFFSET_VARIANCE, learn_prior, negative_evidence


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
    prior = learn_prior([features[:, :2], features], targets, 2, sample=60, seed=0)
    assert prior.components.shape == (8, 2)
    # Both components lie in the plane of the true weights.
    rest = prior.components - common @ np.linalg.lstsq(common, prior.components, rcond=None)[0]
    assert np.linalg.norm(rest) < 0.02 * np.linalg.norm(prior.components)
    # Devices differ in these components alone: the other blocks get little weight.
    assert prior.variances[0] > 100 * prior.variances[1:].max()
    assert prior.noise.mean == pytest.approx(np.log(0.01), abs=0.3)
