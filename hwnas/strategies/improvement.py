"""How much an architecture is expected to improve a front, some of whose losses are known."""

from __future__ import annotations

import math

import numpy as np

from hwnas.pareto.metrics import is_non_dominated
from hwnas.strategies.problem import BoolArray
from hwnas.strategies.selection import IntArray
from hwnas.typing import FloatArray

DRAWS = 32
"""Samples of each architecture where several losses are uncertain."""
SAMPLED = 256
"""Architectures that are sampled: those that improve most one deviation below their mean."""


def expected_improvement(
    means: FloatArray,
    deviations: FloatArray,
    known: FloatArray,
    rows: IntArray,
    losses: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Give the expected improvement of every architecture of a pool.

    Only evaluated architectures that are nowhere worse in the known losses are rivals. With one
    uncertain loss, an architecture improves by how far it falls below the best of its rivals
    (expected improvement of Jones et al., 1998, against what is as cheap). With several, it
    improves by the smallest of its largest gains over each rival (maximin improvement, Bautista
    2009), estimated from samples. One without a rival is measured against a loss as far behind
    the worst evaluated one as that is behind the best.

    Args:
        means: `(n, u)` expected uncertain losses, u >= 1.
        deviations: `(n, u)` standard deviations.
        known: `(n, k)` known losses; a NaN is worse than every number.
        rows: `(e,)` evaluated architectures, e >= 1.
        losses: `(e, u)` their uncertain losses.
        rng: generator of the samples.

    Returns:
        `(n,)` improvements; larger is better. Negative ones have an order and no other meaning:
        they belong to architectures that were not worth sampling.

    Example:
        Both are expected to be as good as the only evaluated one, which is σ φ(0) of improvement:

        >>> means, deviations = np.array([[1.0], [1.0]]), np.array([[1.0], [2.0]])
        >>> known, rows, losses = np.zeros((2, 1)), np.array([0]), np.array([[1.0]])
        >>> rng = np.random.default_rng(0)
        >>> expected_improvement(means, deviations, known, rows, losses, rng).round(3)
        array([0.399, 0.798])
    """
    from scipy.special import ndtr

    reference = 2 * losses.max(axis=0) - losses.min(axis=0)
    costs = np.where(np.isnan(known), np.inf, known)
    # Whoever is behind another one in everything is never the rival that decides.
    leading = is_non_dominated(np.column_stack([costs[rows], losses]))
    rows, losses = rows[leading], losses[leading]
    is_rival = _no_worse(costs, costs[rows])
    if means.shape[1] == 1:
        best = np.min(np.where(is_rival, losses[:, 0], reference[0]), axis=1)  # (n,)
        gap = best - means[:, 0]
        z = gap / deviations[:, 0]
        # Jones et al.: (f* - μ) Φ(z) + σ φ(z) with z = (f* - μ) / σ
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray(gap * ndtr(z) + deviations[:, 0] * density, dtype=np.float64)
    optimistic = _maximin_improvement(means - deviations, is_rival, losses, reference)
    # Behind those worth sampling, in the order of what they could become.
    expected: FloatArray = optimistic - optimistic.max() - 1.0
    chosen = np.argsort(-optimistic, kind="stable")[:SAMPLED]
    draws = means[chosen] + deviations[chosen] * rng.standard_normal((DRAWS, *means[chosen].shape))
    improvements = [
        np.maximum(_maximin_improvement(drawn, is_rival[chosen], losses, reference), 0.0)
        for drawn in draws
    ]
    expected[chosen] = np.mean(improvements, axis=0)
    return expected


def _maximin_improvement(
    candidates: FloatArray, is_rival: BoolArray, losses: FloatArray, reference: FloatArray
) -> FloatArray:
    """Give the smallest of the largest gains over the rivals and the reference, `(n,)`."""
    improvement = np.asarray((reference - candidates).max(axis=1), dtype=np.float64)
    for rival, loss in zip(is_rival.T, losses, strict=True):
        gain = (loss - candidates).max(axis=1)
        np.minimum(improvement, gain, out=improvement, where=rival)
    return improvement


def _no_worse(costs: FloatArray, evaluated: FloatArray) -> BoolArray:
    """Tell for `(n, k)` costs which `(e, k)` evaluated ones are nowhere larger, `(n, e)`."""
    flags = np.ones((len(costs), len(evaluated)), dtype=np.bool_)
    for column, others in zip(costs.T, evaluated.T, strict=True):
        flags &= others <= column[:, None]
    return flags
