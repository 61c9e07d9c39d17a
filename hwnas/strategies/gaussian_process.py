"""A Gaussian process over a fixed pool of architectures, extended one label at a time.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, Sec. 2.2 and 5.4.1. The pool
is known beforehand, so the whitened covariance with it is kept: a further label costs time
proportional to the labels so far, where fitting anew would cost their square.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from hwnas.ranking.aggregation import normal_scores
from hwnas.strategies.selection import IntArray
from hwnas.typing import FloatArray

LENGTH_SCALES = (0.5, 1.0, 2.0, 4.0)
NOISES = (0.01, 0.05, 0.2)
"""What is tried for the kernel: length scale in units of sqrt(f), variance of the noise."""
_FIRST_FIT = 10


class PoolProcess:
    """The posterior of a function on every architecture of a pool.

    The kernel is a Gaussian on standardised features. Its length scale and the noise maximise the
    marginal likelihood of the first 10, 20, 40, ... labels, over a small grid.

    The same labels in the same order give the same numbers, bit for bit, whether they came one by
    one or all at once: each row is computed from those before it alone.

    Args:
        features: `(n, f)` standardised features of the pool.
    """

    def __init__(self, features: FloatArray) -> None:
        self._features = features / math.sqrt(max(features.shape[1], 1))
        self._settings = self._chosen = (math.nan, math.nan)
        self._chosen_from = (b"", b"")
        self._rows: list[int] = []
        self._factor = np.zeros((0, 0))
        self._whitened = np.zeros((0, len(features)))
        self._explained = np.zeros(len(features))
        self._squares = (self._features**2).sum(axis=1)
        self._mean_of: tuple[bytes, ...] = ()
        self._mean, self._scale = np.zeros(0), math.nan

    def posterior(
        self, rows: IntArray, targets: FloatArray, pending: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Give mean and standard deviation for every architecture of the pool.

        Args:
            rows: `(k,)` labelled architectures, as different indices into the pool, k >= 1.
            targets: `(k,)` their values, around 0, e.g. normal scores.
            pending: architectures whose value will be known: they lower the deviation around
                them, as if it turned out as expected (Ginsbourger et al., kriging believer, 2010).

        Returns:
            `(n,)` means, `(n,)` standard deviations.
        """
        self._set(self._choose(rows, targets))
        self._align([*rows.tolist(), *pending.tolist()])
        # Pending architectures leave the means as they are.
        labels = (rows.tobytes(), targets.tobytes(), np.array(self._settings).tobytes())
        if labels != self._mean_of:
            k = len(rows)
            residuals = solve_triangular(self._factor[:k, :k], targets, lower=True)
            self._mean, self._mean_of = residuals @ self._whitened[:k], labels
            self._scale = math.sqrt(max(float(residuals @ residuals) / k, 1e-12))
        deviation = self._scale * np.sqrt(np.maximum(1.0 - self._explained, 1e-9))
        return self._mean.copy(), deviation

    def _choose(self, rows: IntArray, targets: FloatArray) -> tuple[float, float]:
        """Maximise the marginal likelihood of the first 10 · 2^i labels."""
        used = min(len(rows), _FIRST_FIT)
        while 2 * used <= len(rows):
            used *= 2
        # Ranks among these alone: the choice stands until their number doubles.
        inputs, targets = self._features[rows[:used]], normal_scores(targets[:used])
        key = (inputs.tobytes(), targets.tobytes())
        if key != self._chosen_from:
            squares = _squared_distances(inputs, inputs)
            grid = [(length, noise) for length in LENGTH_SCALES for noise in NOISES]
            self._chosen = max(grid, key=lambda settings: _likelihood(squares, targets, *settings))
            self._chosen_from = key
        return self._chosen

    def _set(self, settings: tuple[float, float]) -> None:
        if settings != self._settings:
            self._settings = settings
            self._truncate(0)

    def _align(self, rows: list[int]) -> None:
        """Keep the rows that are there in this order, and add the others one by one."""
        kept = 0
        while kept < min(len(rows), len(self._rows)) and rows[kept] == self._rows[kept]:
            kept += 1
        if kept < len(self._rows):
            self._truncate(kept)
        for row in rows[kept:]:
            self._append(row)

    def _truncate(self, kept: int) -> None:
        del self._rows[kept:]
        self._explained = np.zeros_like(self._explained)
        for whitened in self._whitened[:kept]:
            self._explained += whitened**2

    def _append(self, row: int) -> None:
        k = len(self._rows)
        self._reserve(k + 1)
        length, noise = self._settings
        products = (self._features[[row]] @ self._features.T)[0]
        squares = np.maximum(self._squares[row] + self._squares - 2 * products, 0.0)
        covariance = np.exp(-squares / (2 * length**2))
        coupling = solve_triangular(
            self._factor[:k, :k], covariance[self._rows], lower=True, check_finite=False
        )
        pivot = math.sqrt(max(1.0 + noise - float(coupling @ coupling), 1e-12))
        self._factor[k, :k], self._factor[k, k] = coupling, pivot
        self._whitened[k] = (covariance - coupling @ self._whitened[:k]) / pivot
        self._explained += self._whitened[k] ** 2
        self._rows.append(row)

    def _reserve(self, rows: int) -> None:
        """Double the room when it is full, so that adding a row does not copy all others."""
        room = len(self._whitened)
        if rows > room:
            grown = max(64, 2 * room)
            factor, whitened = np.zeros((grown, grown)), np.zeros((grown, len(self._features)))
            factor[:room, :room], whitened[:room] = self._factor, self._whitened
            self._factor, self._whitened = factor, whitened


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float64)


def _likelihood(squares: FloatArray, targets: FloatArray, length: float, noise: float) -> float:
    """Give the log marginal likelihood, with the scale of the function maximised out."""
    n = len(targets)
    covariance = np.exp(-squares / (2 * length**2)) + noise * np.eye(n)
    factor = cholesky(covariance, lower=True, check_finite=False)
    residuals = solve_triangular(factor, targets, lower=True, check_finite=False)
    scale = max(float(residuals @ residuals) / n, 1e-12)
    return float(-0.5 * n * math.log(scale) - np.log(np.diag(factor)).sum())
