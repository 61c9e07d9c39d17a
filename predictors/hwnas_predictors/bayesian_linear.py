"""Bayesian linear regression whose noise level is integrated out over a grid.

Weights have independent standard normal priors: the prior of a group of features is their scale.
With `A = U S V'` the posterior of the weights at noise s has the mean `V (S / (S² + s²)) U' t` and
the covariance `I - V (S² / (S² + s²)) V'` (Bishop, Pattern Recognition and Machine Learning,
2006, section 3.3), and the predictive distribution is a mixture of normals over the noise levels,
each with the weight of its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import logsumexp, ndtr

from hwnas.typing import FloatArray

NOISE_GRID = np.exp(np.linspace(-6.0, 0.0, 13))
"""Standard deviations of the noise, in units of the target."""
_NEGLIGIBLE = 1e-3
_IMPROBABLE = 1e-300


@dataclass(frozen=True)
class LogNormal:
    """Prior of the noise level: the mean and the spread of its logarithm."""

    mean: float
    spread: float


@dataclass(frozen=True)
class NormalMixture:
    """Predictive distribution of `n` targets: `q` normals with common weights.

    Attributes:
        weights: `(q,)`, with sum 1.
        means: `(q, n)`.
        stds: `(q, n)`, noise of one measurement included.
    """

    weights: FloatArray
    means: FloatArray
    stds: FloatArray

    @property
    def mean(self) -> FloatArray:
        """`(n,)` mean."""
        return self.weights @ self.means

    @property
    def std(self) -> FloatArray:
        """`(n,)` standard deviation: within the normals and between them."""
        spread = self.stds**2 + (self.means - self.mean) ** 2
        std: FloatArray = np.sqrt(self.weights @ spread)
        return std

    @classmethod
    def of(cls, parts: Sequence[NormalMixture], weights: FloatArray) -> NormalMixture:
        """Mix distributions of the same `n` targets; `(m,)` weights have the sum 1."""
        shares = [w * part.weights for w, part in zip(weights, parts, strict=True)]
        means, stds = ([getattr(part, name) for part in parts] for name in ("means", "stds"))
        return cls(np.concatenate(shares), np.concatenate(means), np.concatenate(stds))

    def quantile(self, probability: float) -> FloatArray:
        """Give `(n,)` quantiles, by bisection to 1e-6 of the bracket."""
        low = (self.means - 12 * self.stds).min(axis=0)
        high = (self.means + 12 * self.stds).max(axis=0)
        for _ in range(20):
            middle = (low + high) / 2
            below = self.weights @ ndtr((middle - self.means) / self.stds) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        quantile: FloatArray = (low + high) / 2
        return quantile


@dataclass(frozen=True)
class Posterior:
    """Weights of the features given some targets.

    Attributes:
        basis: `(p, r)` directions V of the feature space that the targets inform about.
        singular: `(r,)` singular values S.
        coordinates: `(r,)` targets in the other basis, `U' t`.
        noises: `(q,)` noise levels that matter.
        weights: `(q,)` their probabilities.
    """

    basis: FloatArray
    singular: FloatArray
    coordinates: FloatArray
    noises: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, features: FloatArray, targets: FloatArray, prior: LogNormal) -> Posterior:
        """Learn from `(s, p)` features and `(s,)` targets."""
        return cls.weighed(features, targets, prior)[0]

    @classmethod
    def weighed(
        cls, features: FloatArray, targets: FloatArray, prior: LogNormal
    ) -> tuple[Posterior, float]:
        """Learn from `(s, p)` features and `(s,)` targets, and say how well they are explained.

        Returns:
            The posterior, and the log marginal likelihood of the targets up to a constant that is
            the same for all features and priors.
        """
        # A = U S V': (s, r), (r,), (r, p) with r = min(s, p)
        left, singular, right = np.linalg.svd(features, full_matrices=False)
        coordinates = left.T @ targets  # (r,): U' t
        evidence = _evidence(singular, coordinates, targets, prior)
        most = evidence.max()
        weights = np.exp(evidence - most)  # (q,)
        total = float(most + np.log(weights.sum()) - np.log(prior.spread))
        weights /= weights.sum()
        keep = weights > _NEGLIGIBLE
        kept = weights[keep] / weights[keep].sum()
        return cls(right.T, singular, coordinates, NOISE_GRID[keep], kept), total

    def observed(self, features: FloatArray, targets: FloatArray) -> tuple[Posterior, float]:
        """Learn from further `(s, p)` features and `(s,)` targets.

        What was learned before is as `(r, p)` features `S V'` with the targets `U' t`, so both
        together are learned from again, at the noise levels that mattered.

        Returns:
            The posterior, and the log probability of the further targets given those of before.
        """
        own = self.singular[:, None] * self.basis.T  # (r, p): S V'
        rows = np.concatenate([own, features])
        values = np.concatenate([self.coordinates, targets])
        left, singular, right = np.linalg.svd(rows, full_matrices=False)
        coordinates = left.T @ values
        rest = max(values @ values - coordinates @ coordinates, 0.0)
        free = len(values) - len(singular)
        evidence = np.empty(len(self.noises))
        for q, noise in enumerate(self.noises):
            after, before = singular**2 + noise**2, self.singular**2 + noise**2
            misfit = np.sum(coordinates**2 / after) + rest / noise**2
            misfit -= np.sum(self.coordinates**2 / before)
            volume = np.sum(np.log(after)) + 2 * free * np.log(noise) - np.sum(np.log(before))
            before_them = np.log(np.maximum(self.weights[q], _IMPROBABLE))
            evidence[q] = before_them - 0.5 * (misfit + volume)
        most = evidence.max()
        weights = np.exp(evidence - most)
        total = float(most + np.log(weights.sum()))
        return Posterior(
            right.T, singular, coordinates, self.noises, weights / weights.sum()
        ), total

    def left_out(self, features: FloatArray, targets: FloatArray) -> FloatArray:
        """Give the `(s,)` targets as the others say, in closed form.

        With C = A A' + s² I it is t_i - (C⁻¹ t)_i / (C⁻¹)_ii (Rasmussen and Williams, Gaussian
        Processes for Machine Learning, 2006, eq. 5.12), here the mean over the noise levels.

        Args:
            features: `(s, p)` features that were learned from.
            targets: `(s,)` their targets.
        """
        kernel = features @ features.T  # (s, s): A A'
        found = np.zeros(len(targets))
        for noise, weight in zip(self.noises, self.weights, strict=True):
            inverse = np.linalg.inv(kernel + noise**2 * np.eye(len(targets)))
            found += weight * (targets - inverse @ targets / np.diag(inverse))
        return found

    def check(self) -> None:
        """Raise `ValueError` where the arrays do not belong together."""
        sizes = (*self.basis.shape[1:], *self.singular.shape, *self.coordinates.shape)
        if len(sizes) != 3 or len(set(sizes)) > 1 or self.basis.ndim != 2:
            raise ValueError("its basis, singular values and coordinates have other shapes")
        if self.noises.ndim != 1 or self.noises.shape != self.weights.shape:
            raise ValueError("its noise levels and their weights have other shapes")
        if not (self.noises > 0).all() or not np.isclose(self.weights.sum(), 1.0):
            raise ValueError("its noise levels have no probabilities")

    def predict(self, features: FloatArray) -> NormalMixture:
        """Give the distribution of the targets of `(n, p)` features."""
        rotated = features @ self.basis  # (n, r): a V of each row a
        prior = np.sum(features**2, axis=1)  # (n,): a a', the variance before any target
        # (q, r): S² / (S² + s²), and S / (S² + s²) U' t
        shrink = self.singular**2 / (self.singular**2 + self.noises[:, None] ** 2)
        gain = self.singular / (self.singular**2 + self.noises[:, None] ** 2) * self.coordinates
        known = shrink @ (rotated**2).T  # (q, n): a V (S² / (S² + s²)) V' a'
        variances = np.maximum(prior - known, 0.0) + self.noises[:, None] ** 2
        return NormalMixture(self.weights, gain @ rotated.T, np.sqrt(variances))


def evidence_without(
    features: FloatArray, targets: FloatArray, prior: LogNormal
) -> tuple[float, FloatArray]:
    """Give the log marginal likelihood of all targets, and those of all but one, in closed form.

    p(t₋ᵢ) = p(t) / p(tᵢ | t₋ᵢ), where with C = A A' + s² I the last is a normal with the variance
    1 / (C⁻¹)ᵢᵢ at the distance (C⁻¹ t)ᵢ / (C⁻¹)ᵢᵢ (Rasmussen and Williams, 2006, eq. 5.12).

    Args:
        features: `(s, p)` features.
        targets: `(s,)` targets.
        prior: prior of the noise level.

    Returns:
        What `Posterior.weighed` says of all, and `(s,)` what it says of the others.
    """
    # A' = Q R and R' = U S W' give A = U S (Q W)': no directions of the features are needed.
    triangle = cast(FloatArray, np.linalg.qr(features.T, mode="r"))  # (r, s)
    left, singular, _ = np.linalg.svd(triangle.T, full_matrices=False)
    coordinates = left.T @ targets  # (r,): U' t
    evidence = _evidence(singular, coordinates, targets, prior)
    outside = targets - left @ coordinates  # (s,): what is in no direction of U
    free = np.maximum(1 - np.sum(left**2, axis=1), 0.0)  # (s,)
    found = np.empty((len(NOISE_GRID), len(targets)))
    for q, noise in enumerate(NOISE_GRID):
        variances = singular**2 + noise**2
        precision = left**2 @ (1 / variances) + free / noise**2  # (s,): (C⁻¹)ᵢᵢ
        solved = left @ (coordinates / variances) + outside / noise**2  # (s,): C⁻¹ t
        found[q] = evidence[q] + 0.5 * (solved**2 / precision - np.log(precision))
    total = float(logsumexp(evidence) - np.log(prior.spread))
    others: FloatArray = logsumexp(found, axis=0) - np.log(prior.spread)
    return total, others


def _evidence(
    singular: FloatArray, coordinates: FloatArray, targets: FloatArray, prior: LogNormal
) -> FloatArray:
    """Give `log N(t; 0, A A' + s² I) + log p(s)` of each noise level, up to constants.

    A A' + s² I has the eigenvalues S² + s² along U and s² elsewhere.
    """
    rest = max(targets @ targets - coordinates @ coordinates, 0.0)  # |t|² - |U' t|²
    free = len(targets) - len(singular)  # targets' directions without a feature
    evidence = np.empty(len(NOISE_GRID))
    for q, noise in enumerate(NOISE_GRID):
        variances = singular**2 + noise**2  # (r,)
        misfit = np.sum(coordinates**2 / variances) + rest / noise**2
        volume = np.sum(np.log(variances)) + 2 * free * np.log(noise)
        surprise = ((np.log(noise) - prior.mean) / prior.spread) ** 2
        evidence[q] = -0.5 * (misfit + volume + surprise)
    return evidence


@dataclass(frozen=True)
class Design:
    """What a choice of architectures to measure is judged by, under one prior of the weights.

    Attributes:
        candidates: `(c, p)` features to choose from, whose weights are standard normal.
        population: `(n, p)` features of what is to be predicted.
        noise: standard deviation of a target.
    """

    candidates: FloatArray
    population: FloatArray
    noise: float


def most_informative(designs: Sequence[Design], n: int) -> list[int]:
    """Choose rows one after another so that the population's mean variance falls the most.

    Greedy minimisation of the integrated posterior variance (A-optimal design); no target is
    looked at. Where several priors may hold, the shares by which it falls are added up.

    Args:
        designs: the same `c` candidates and `n` of the population under each prior.
        n: rows to choose, each at most once.

    Returns:
        Row numbers in the order of choice.
    """
    spreads = [_Spread.of(design) for design in designs]
    chosen: list[int] = []
    for _ in range(n):
        gain = np.sum([spread.gain() for spread in spreads], axis=0)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        for spread in spreads:
            spread.learn(best)
    return chosen


@dataclass
class _Spread:
    """Covariances of targets given what was chosen.

    Attributes:
        own: `(c, c)` of candidates.
        cross: `(c, n)` of candidates and population.
        variance: `(n,)` of the population.
        noise: `s²`.
    """

    own: FloatArray
    cross: FloatArray
    variance: FloatArray
    noise: float

    @classmethod
    def of(cls, design: Design) -> _Spread:
        candidates, population = design.candidates, design.population
        return cls(
            candidates @ candidates.T,
            candidates @ population.T,
            np.sum(population**2, axis=1),
            design.noise**2,
        )

    def gain(self) -> FloatArray:
        """Give the `(c,)` shares by which measuring each lowers the population's variance."""
        # k(a, x)² / (k(a, a) + s²) is what x loses by a
        lost = np.sum(self.cross**2, axis=1) / (np.diag(self.own) + self.noise)
        shares: FloatArray = lost / max(float(self.variance.sum()), _IMPROBABLE)
        return shares

    def learn(self, row: int) -> None:
        """Condition on the target of a candidate."""
        own, cross = self.own[row].copy(), self.cross[row].copy()
        total = own[row] + self.noise
        self.variance = np.maximum(self.variance - cross**2 / total, 0.0)
        self.cross -= np.outer(own, cross) / total
        self.own -= np.outer(own, own) / total
