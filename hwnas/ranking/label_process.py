"""A Gaussian process over a few labels that begins with scores known without them.

The function has the mean ``c + w mean_j m_j``, where m_j is the j-th of q scores of each
architecture and w how far they are trusted, and the covariance

``k(i, j) = sum_j a_j m_ji m_jj + sum_g a_g κ(|x_gi - x_gj| / l_g) + a_* κ(r_ij)``,

with one term a group of inputs, one of all, r² = mean_g |x_gi - x_gj|² / l_*g², and the Matérn
kernel κ of `hwnas.ranking.matern`. Labels that contradict a score change its weight, through a_j,
before they change anything else. Amplitudes, lengths, noise and c maximise the marginal likelihood
times log-normal priors (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, Sec.
5.4.1), which a handful of labels do not outweigh. What the scores leave of the variance, 1 - w², is
divided between the terms and the noise; see `hwnas.ranking.label_mixture` for how far to trust.

A score that was learned from labels of another data set makes it the autoregressive model of
Kennedy and O'Hagan (Biometrika 87, 2000, Eq. 1), f = ρ f' + δ, with f' at its posterior mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from hwnas.ranking.matern import matern_term, squares
from hwnas.typing import FloatArray

FITTED_TO = 512
"""Labels that the settings are fitted to at most: further ones change the function alone."""
_STEPS = 40
_JITTER = 1e-6
_BOUNDS = (-8.0, 4.0)
# Mean and spread of the logarithm of a length, and of the constant; spreads of other logarithms.
_LENGTH, _CENTRE = (0.0, 0.7), (0.0, 0.5)
_SCORE, _AMPLITUDE, _NOISE = 1.0, 0.7, 1.0
_DOUBT = math.exp(-4.5)
"""Variance of a score's weight around what it is trusted."""


class Points(NamedTuple):
    """What is known of `n` architectures without a label.

    Attributes:
        groups: `(n, f_g)` standardised inputs, one array a group; a group counts alike however many
            columns it has.
        scores: `(n, q)` normal scores that the function is expected to follow.
    """

    groups: Sequence[FloatArray]
    scores: FloatArray

    def take(self, rows: np.ndarray | slice) -> Points:
        """Give some of them."""
        return Points([group[rows] for group in self.groups], self.scores[rows])

    def scaled(self) -> Points:
        """Let squared distances be means over the columns of a group."""
        return Points([g / math.sqrt(g.shape[1]) for g in self.groups if g.shape[1]], self.scores)


class Trust(NamedTuple):
    """What is believed of the scores before a label.

    Attributes:
        weight: correlation of the function with the mean of the scores, at least 0 and below 1.
        smooth: share of the remaining variance that inputs tell, above 0 and below 1; the rest is
            noise.
    """

    weight: float = 0.5
    smooth: float = 0.8

    def priors(self, scores: int, groups: int) -> FloatArray:
        """Give the `(p, 2)` means and spreads of a process's settings.

        They are the variance of each score's weight, variance and lengths of each term, the noise
        and the constant, logarithms but for the last. With several scores each may have the others'
        weight too.
        """
        terms = _terms(groups)
        left, others = 1.0 - self.weight**2, (1.0 - 1.0 / max(scores, 1)) * self.weight
        of_score = (math.log(_DOUBT + others**2), _SCORE)
        of_term = (math.log(left * self.smooth / max(len(terms), 1)), _AMPLITUDE)
        of_noise = (math.log(left * (1.0 - self.smooth)), _NOISE)
        of_terms = [prior for term in terms for prior in (of_term, *[_LENGTH] * len(term))]
        return np.array([*[of_score] * scores, *of_terms, of_noise, _CENTRE])


class LabelProcess:
    """The posterior of a function, given labels of a few architectures.

    Args:
        trust: what is believed of the scores before a label.

    Attributes:
        misfit: negative logarithm of the marginal likelihood times the priors, once settled.

    Example:
        A label far away from the others leaves what is expected before it.

        >>> pool = Points([np.array([[-1.0], [0.0], [40.0]])], np.array([[0.0], [0.0], [2.0]]))
        >>> mean, _ = LabelProcess().fit(pool.take(slice(1)), np.array([0.0])).predict(pool)
        >>> mean.round(2).tolist()
        [0.0, 0.0, 1.0]
    """

    misfit: float
    _parameters: FloatArray
    _known: Points
    _factor: FloatArray
    _weights: FloatArray

    def __init__(self, trust: Trust | None = None) -> None:
        self._trust = Trust() if trust is None else trust

    def fit(self, labelled: Points, targets: FloatArray) -> LabelProcess:
        """Learn from `(k,)` labels, k >= 1, around 0."""
        return self.settle(labelled, targets).condition(labelled, targets)

    def settle(self, labelled: Points, targets: FloatArray) -> LabelProcess:
        """Find settings and misfit by the first of the `(k,)` labels."""
        some = labelled.take(slice(FITTED_TO)).scaled()
        self._parameters, self.misfit = self._settings(some, targets[:FITTED_TO])
        return self

    def condition(self, labelled: Points, targets: FloatArray) -> LabelProcess:
        """Take all `(k,)` labels in, with the settings: (k, k) numbers are kept."""
        known = self._known = labelled.scaled()
        covariance = self._covariance(known, known) + self._noise * np.eye(len(targets))
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), targets - self._before(known))
        return self

    def predict(self, points: Points) -> tuple[FloatArray, FloatArray]:
        """Give `(n,)` means and standard deviations of a label, its noise included."""
        everything, means, deviations = points.scaled(), [], []
        for start in range(0, len(points.scores), 2048):  # the whole would not fit into memory
            part = everything.take(slice(start, start + 2048))
            cross = self._covariance(part, self._known)
            means.append(self._before(part) + cross @ self._weights)
            white = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
            left = np.maximum(self._variance(part) - (white**2).sum(axis=0), 0.0)
            deviations.append(np.sqrt(left + self._noise))
        return np.concatenate(means), np.concatenate(deviations)

    @property
    def _noise(self) -> float:
        return math.exp(self._parameters[-2]) + _JITTER

    def _before(self, points: Points) -> FloatArray:
        return np.asarray(self._parameters[-1] + self._expected(points.scores))

    def _variance(self, points: Points) -> FloatArray:
        """Give the `(n,)` variances before any label, without noise."""
        of_scores, of_terms = _split(self._parameters, points)
        terms = sum(math.exp(settings[0]) for settings in of_terms)
        return np.asarray(points.scores**2 @ np.exp(of_scores) + terms)

    def _covariance(self, a: Points, b: Points) -> FloatArray:
        of_scores, of_terms = _split(self._parameters, a)
        total = (a.scores * np.exp(of_scores)) @ b.scores.T
        for apart, settings in zip(_distances(a, b), of_terms, strict=True):
            total += matern_term(apart, settings).value
        return np.asarray(total)

    def _settings(self, points: Points, targets: FloatArray) -> tuple[FloatArray, float]:
        """Maximise the marginal likelihood times the priors."""
        distances, outer = _distances(points, points), _outer(points.scores)
        centre, spread = self._trust.priors(len(outer), len(points.groups)).T
        rest = targets - self._expected(points.scores)

        def loss(p: FloatArray) -> tuple[float, FloatArray]:
            value, slope = _misfit(p, points, distances, outer, rest)
            off = (p - centre) / spread
            return value + float(off @ off) / 2, slope + off / spread

        bounds = [_BOUNDS] * len(centre)
        found = minimize(
            loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        return np.asarray(found.x), float(found.fun)

    def _expected(self, scores: FloatArray) -> FloatArray:
        """Give what `(n, q)` scores say of the function before a label."""
        if not scores.shape[1]:
            return np.zeros(len(scores))
        return np.asarray(self._trust.weight * scores.mean(axis=1))


def _outer(scores: FloatArray) -> list[FloatArray]:
    return [np.outer(column, column) for column in scores.T]


def _terms(groups: int) -> list[list[int]]:
    """Give the groups of each term: one alone, and all where there are several."""
    alone = [[group] for group in range(groups)]
    return [*alone, list(range(groups))] if groups > 1 else alone


def _split(p: FloatArray, points: Points) -> tuple[FloatArray, list[FloatArray]]:
    """Give the settings of the scores and of each term."""
    q, terms = points.scores.shape[1], _terms(len(points.groups))
    ends = q + np.cumsum([0, *(1 + len(term) for term in terms)])
    return p[:q], [p[a:b] for a, b in itertools.pairwise(ends)]


def _distances(a: Points, b: Points) -> list[list[FloatArray]]:
    """Give the squared distances in the groups of each term."""
    found = [squares(x, y) for x, y in zip(a.groups, b.groups, strict=True)]
    return [[found[group] for group in term] for term in _terms(len(found))]


def _misfit(
    p: FloatArray,
    points: Points,
    distances: Sequence[Sequence[FloatArray]],
    outer: Sequence[FloatArray],
    targets: FloatArray,
) -> tuple[float, FloatArray]:
    """Give the negative log marginal likelihood (Eq. 5.8) and its slope (Eq. 5.9)."""
    of_scores, of_terms = _split(p, points)
    terms = [matern_term(apart, each) for apart, each in zip(distances, of_terms, strict=True)]
    linear = [math.exp(a) * product for a, product in zip(of_scores, outer, strict=True)]
    noise, unit = math.exp(p[-2]), np.eye(len(targets))
    covariance = (noise + _JITTER) * unit + sum(linear) + sum(term.value for term in terms)
    factor = cholesky(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), targets - p[-1], check_finite=False)
    value = float((targets - p[-1]) @ weights) / 2 + float(np.log(np.diag(factor)).sum())
    # d/dθ = -tr((α α' - K⁻¹) dK/dθ) / 2
    inner = np.outer(weights, weights) - cho_solve((factor, True), unit, check_finite=False)
    parts = [*linear, *(x for term in terms for x in (term.value, *term.slopes)), noise * unit]
    slopes = [-float(np.sum(inner * part)) / 2 for part in parts]
    return value, np.array([*slopes, -float(weights.sum())])
