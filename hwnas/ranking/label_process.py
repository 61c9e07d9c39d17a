"""A Gaussian process over a few labels that begins with a score known without them.

The function has the mean ``c + m/2``, where m is the score of each architecture, and the covariance

``k(i, j) = a_0 m_i m_j + sum_g a_g κ(|x_gi - x_gj| / l_g) + a_* κ(r_ij / l_*)``,

with one term a group of inputs, one of the mean squared distance r² over the groups, and the Matérn
kernel κ(r) = (1 + √5 r + 5 r²/3) exp(-√5 r) (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, Eq. 4.17). Labels that contradict the score change its weight, through a_0, before
they change anything else. Amplitudes, lengths, noise and c maximise the marginal likelihood times
log-normal priors (ib., Sec. 5.4.1), which a handful of labels do not outweigh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from hwnas.typing import FloatArray

BELIEF = 0.5
"""Weight of the score before a label: normal scores of accuracies and of a score agree like this,
or better, where the score is worth anything."""
FITTED_TO = 256
"""Labels that the settings are fitted to at most: further ones change the function alone."""
_STEPS = 40
_JITTER = 1e-6
_BOUNDS = (-8.0, 4.0)
# Mean and spread of the logarithms: weight of the score, then amplitude and length of each term.
_SCORE, _AMPLITUDE, _LENGTH, _NOISE = (-1.4, 1.0), (-1.6, 1.5), (0.0, 0.7), (-2.3, 1.0)
_CENTRE = (0.0, 0.5)


class Term(NamedTuple):
    """A part of the covariance and what its logarithmic length changes in it."""

    value: FloatArray
    slope: FloatArray


class LabelProcess:
    """The posterior of a function on every architecture of a pool.

    Args:
        groups: `(n, f_g)` standardised inputs of the pool, one array a group; a group counts alike
            however many columns it has.
        score: `(n,)` normal scores that the function is expected to follow; zeros for none.

    Example:
        A label far away from the others leaves what is expected before it.

        >>> pool = np.array([[-1.0], [0.0], [40.0]])
        >>> process = LabelProcess([pool], np.array([0.0, 0.0, 2.0]))
        >>> mean, _ = process.fit(np.array([0]), np.array([0.0])).predict()
        >>> mean.round(2).tolist()
        [0.0, 0.0, 1.0]
    """

    def __init__(self, groups: Sequence[FloatArray], score: FloatArray) -> None:
        self._groups = [g / math.sqrt(g.shape[1]) for g in groups if g.shape[1]]
        self._score = score
        self._parameters = np.zeros(0)

    def fit(self, rows: np.ndarray, targets: FloatArray) -> LabelProcess:
        """Learn from `(k,)` labels, k >= 1, of the architectures `rows`, around 0."""
        some = rows[:FITTED_TO]
        self._parameters = self._settings(some, targets[:FITTED_TO])
        covariance = self._covariance(rows, rows) + self._noise * np.eye(len(rows))
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._rows = rows
        self._weights = cho_solve((self._factor, True), targets - self._before(rows))
        return self

    def predict(self) -> tuple[FloatArray, FloatArray]:
        """Give `(n,)` means and standard deviations of a label, its noise included."""
        n, means, deviations = len(self._score), [], []
        for start in range(0, n, 2048):  # the whole covariance would not fit into memory
            part = np.arange(start, min(start + 2048, n))
            cross = self._covariance(part, self._rows)
            means.append(self._before(part) + cross @ self._weights)
            white = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
            before = math.exp(self._parameters[0]) * self._score[part] ** 2
            before += np.exp(self._parameters[1:-2:2]).sum()
            left = np.maximum(before - (white**2).sum(axis=0), 0.0)
            deviations.append(np.sqrt(left + self._noise))
        return np.concatenate(means), np.concatenate(deviations)

    @property
    def _noise(self) -> float:
        return math.exp(self._parameters[-2]) + _JITTER

    def _before(self, rows: np.ndarray) -> FloatArray:
        return np.asarray(self._parameters[-1] + BELIEF * self._score[rows])

    def _distances(self, a: np.ndarray, b: np.ndarray) -> list[FloatArray]:
        """Give the squared distances of each group, and their mean where there are several."""
        found = [_squares(group[a], group[b]) for group in self._groups]
        return [*found, np.mean(found, axis=0)] if len(found) > 1 else found

    def _covariance(self, a: np.ndarray, b: np.ndarray) -> FloatArray:
        total = math.exp(self._parameters[0]) * np.outer(self._score[a], self._score[b])
        for i, squares in enumerate(self._distances(a, b)):
            total += _term(squares, *self._parameters[1 + 2 * i : 3 + 2 * i]).value
        return np.asarray(total)

    def _settings(self, rows: np.ndarray, targets: FloatArray) -> FloatArray:
        """Maximise the marginal likelihood times the priors."""
        distances = self._distances(rows, rows)
        outer = np.outer(self._score[rows], self._score[rows])
        priors = [_SCORE, *[_AMPLITUDE, _LENGTH] * len(distances), _NOISE, _CENTRE]
        centre, spread = np.array(priors).T
        expected = BELIEF * self._score[rows]

        def loss(p: FloatArray) -> tuple[float, FloatArray]:
            value, slope = _misfit(p, distances, outer, targets - expected)
            off = (p - centre) / spread
            return value + float(off @ off) / 2, slope + off / spread

        bounds = [_BOUNDS] * len(centre)
        found = minimize(
            loss, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        return np.asarray(found.x)


def _misfit(
    p: FloatArray, distances: Sequence[FloatArray], outer: FloatArray, targets: FloatArray
) -> tuple[float, FloatArray]:
    """Give the negative log marginal likelihood (Eq. 5.8) and its slope (Eq. 5.9)."""
    terms = [_term(squares, *p[1 + 2 * i : 3 + 2 * i]) for i, squares in enumerate(distances)]
    linear, noise = math.exp(p[0]) * outer, math.exp(p[-2])
    unit = np.eye(len(targets))
    covariance = linear + sum(term.value for term in terms) + (noise + _JITTER) * unit
    factor = cholesky(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), targets - p[-1], check_finite=False)
    value = float((targets - p[-1]) @ weights) / 2 + float(np.log(np.diag(factor)).sum())
    # d/dθ = -tr((α α' - K⁻¹) dK/dθ) / 2
    inner = np.outer(weights, weights) - cho_solve((factor, True), unit, check_finite=False)
    parts = [linear, *(part for term in terms for part in term), noise * unit]
    slopes = [-float(np.sum(inner * part)) / 2 for part in parts]
    return value, np.array([*slopes, -float(weights.sum())])


def _term(squares: FloatArray, amplitude: float, length: float) -> Term:
    """Give a κ(r/l) and its slope along log l, from r² and the logarithms of a and l."""
    r = np.sqrt(5.0 * squares) / math.exp(length)
    decay = math.exp(amplitude) * np.exp(-r)
    return Term((1.0 + r + r * r / 3.0) * decay, (1.0 + r) * r * r / 3.0 * decay)


def _squares(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0))
