"""The fit of a pool's device follows most of its measurements."""

from __future__ import annotations

import numpy as np

from hwnas_predictors.pool_fits import fit_pool


def test_wrong_measurements_are_moved_to_the_bound() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6))
    features -= features.mean(axis=0)
    true = np.array([0.5, -0.3, 0.2, 0.0, 0.1, 0.4])
    clean = np.stack([features @ true, features @ true[::-1]]) + 0.02 * rng.normal(size=(2, 300))
    spoilt = clean.copy()
    spoilt[0, :12] += 2.0
    spoilt[1, 5] = np.nan
    weights, moved = fit_pool(features, spoilt)
    np.testing.assert_allclose(weights[:, 0], true, atol=0.015)
    np.testing.assert_allclose(weights[:, 1], true[::-1], atol=0.015)
    assert np.isnan(moved[1, 5])
    # Three standard deviations of noise, not the two that were added.
    excess = (moved[0] - clean[0])[:12]
    assert excess.min() > 0
    assert excess.max() < 0.15
    # What is within the bounds is as it was.
    same = np.abs(clean[0] - features @ true)[12:] < 0.05
    np.testing.assert_allclose(moved[0, 12:][same], clean[0, 12:][same])


def test_one_round_is_ridge_regression() -> None:
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(40, 3)), rng.normal(size=(1, 40))
    targets = np.clip(targets, -1, 1)  # nothing is far away
    weights, moved = fit_pool(features, targets)
    np.testing.assert_allclose(moved, targets)
    centred = targets[0] - targets[0].mean()
    wanted = np.linalg.lstsq(
        np.vstack([features, np.eye(3)]), np.concatenate([centred, np.zeros(3)]), rcond=None
    )[0]
    np.testing.assert_allclose(weights[:, 0], wanted)
