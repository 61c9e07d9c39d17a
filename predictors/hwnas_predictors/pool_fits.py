"""The devices of a pool without their noise and without what was measured wrongly.

Published latencies have a few entries in a hundred that are off by half or more, which would pass
for noise of the whole device. Each device is fitted by ridge regression, and what lies far from the
fit is moved to a bound and fitted again (Huber, Robust Estimation of a Location Parameter, 1964,
with winsorised residuals as in his Robust Statistics, 1981, section 7.8).
"""

from __future__ import annotations

import numpy as np

from hwnas.typing import FloatArray

_RIDGE = 1.0
_ROUNDS = 3
_BOUND = 3.0
"""Robust standard deviations beyond which a residual is moved to the bound."""
_DEVIATION_OF_MEDIAN = 1.4826
"""Standard deviation of a normal over the median of its absolute deviation."""
_SMALLEST_DEVIATION = 1e-3


def fit_pool(features: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit each device's targets.

    Args:
        features: `(n, p)` centred features.
        targets: `(d, n)` targets, NaN where there is no value.

    Returns:
        `(p, d)` weights of the features, and the `(d, n)` targets with what lies beyond the bound
        moved to it.
    """
    weights, moved = np.empty((features.shape[1], len(targets))), targets.copy()
    for device, row in enumerate(targets):
        known = np.isfinite(row)
        weights[:, device], moved[device, known] = _fit(features[known], row[known])
    return weights, moved


def _fit(features: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the `(p,)` weights of one device, and its `(n,)` targets moved to the bounds."""
    gram = features.T @ features + _RIDGE * np.eye(features.shape[1])
    moved = targets
    for _ in range(_ROUNDS):
        # (X' X + I)⁻¹ X' t
        weights = np.linalg.solve(gram, features.T @ (moved - moved.mean()))
        fitted = features @ weights + moved.mean()
        residuals = targets - fitted
        spread = _DEVIATION_OF_MEDIAN * np.median(np.abs(residuals - np.median(residuals)))
        bound = _BOUND * max(float(spread), _SMALLEST_DEVIATION)
        moved = fitted + np.clip(residuals, -bound, bound)
    return weights, moved
