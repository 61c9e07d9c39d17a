"""The choice of a regressor for each type of kernel, by held-out error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.typing import FloatArray
from hwnas_predictors.kernels.features import NAMES
from hwnas_predictors.kernels.regressors import METHODS, Regressor, Ridge

_FOLDS = 5
_FEW = 12
"""Below so many kernels there is nothing to choose between regressors by."""
_POWER, _FIRM = 0.5, 0.25
"""The power of size before any kernel is seen, and the squared log distances that outweigh it."""


@dataclass(frozen=True)
class Choice:
    """A fitted regressor and how it was chosen.

    Attributes:
        method: its name in `METHODS`.
        regressor: fitted to all kernels.
        errors: held-out mean absolute error of log latency, by method.
        within_10_percent: share of held-out predictions within 10 % of the measurement; NaN for
            too few kernels to hold any out.
    """

    method: str
    regressor: Regressor
    errors: Mapping[str, float]
    within_10_percent: float


def choose(features: FloatArray, targets: FloatArray, seed: int = 0) -> Choice:
    """Fit the method with the least held-out error (5 folds); to few kernels a power of size.

    Args:
        features: `(n, f)` features, at least one row.
        targets: `(n,)` log latencies.
        seed: seed of folds and trees.
    """
    if len(targets) < _FEW:
        few = _few(features, targets)
        return Choice("ridge", few, {}, float("nan"))
    folds = np.random.default_rng(seed).permutation(len(targets)) % _FOLDS
    held_out = {
        name: _held_out(method.fit, features, targets, folds, seed)
        for name, method in METHODS.items()
    }
    errors = {name: float(np.mean(np.abs(p - targets))) for name, p in held_out.items()}
    best = min(errors, key=lambda name: errors[name])
    within = float(np.mean(np.abs(np.expm1(held_out[best] - targets)) <= 0.1))
    return Choice(best, METHODS[best].fit(features, targets, seed), errors, within)


def by_bytes(features: FloatArray, targets: FloatArray) -> Choice:
    """Let latency be the bytes that are read and written, at the median rate of other kernels.

    It is for a type of kernel that cannot be run by itself; arguments as of `choose`.
    """
    at, zero = NAMES.index("bytes"), np.zeros(features.shape[1])
    weights = np.zeros(features.shape[1])
    weights[at] = 1.0
    rate = np.atleast_1d(np.median(targets - features[:, at]))  # log ms a byte
    return Choice("ridge", Ridge(zero, zero + 1, weights, rate), {}, float("nan"))


def _few(features: FloatArray, targets: FloatArray) -> Ridge:
    """Fit a power of size alone: more features than kernels would fit them, whatever they are.

    Size is the geometric mean of FLOPs and bytes. Its power is 0 where the call is all that costs
    and 1 where the call costs nothing; what the kernels say of it counts by how far they lie apart.
    """
    weights = np.zeros(features.shape[1])
    weights[[NAMES.index("flops"), NAMES.index("bytes")]] = 0.5
    apart = (features - features.mean(axis=0)) @ weights
    power = (apart @ targets + _POWER * _FIRM) / (apart @ apart + _FIRM)
    mean, one = features.mean(axis=0), np.ones(features.shape[1])
    return Ridge(mean, one, weights * np.clip(power, 0, 1), np.array([targets.mean()]))


def _held_out(
    fit: Callable[..., Regressor],
    features: FloatArray,
    targets: FloatArray,
    folds: npt.NDArray[np.int64],
    seed: int,
) -> FloatArray:
    predicted = np.empty_like(targets)
    for fold in range(_FOLDS):
        rest = folds != fold
        predicted[~rest] = fit(features[rest], targets[rest], seed).predict(features[~rest])
    return predicted
