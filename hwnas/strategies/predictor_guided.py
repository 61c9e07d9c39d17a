"""Search guided by a model of the costly objectives, learned from what is finished."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import normal_scores
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.gaussian_process import PoolProcess
from hwnas.strategies.history import History
from hwnas.strategies.improvement import expected_improvement
from hwnas.strategies.pool import Pool
from hwnas.strategies.problem import Problem
from hwnas.strategies.selection import IntArray, pareto_ranks
from hwnas.typing import Arch, FloatArray

MOST_LABELS = 1000
"""Finished architectures that the model learns from, the oldest ones, to bound its time."""


class PredictorGuided(Generic[Arch]):
    """Propose what is expected to improve the front most.

    A Gaussian process learns every objective that is not known beforehand from features of the
    architectures; the proposal has the largest expected improvement over what is as cheap in the
    known ones. As in BRP-NAS (Dudziak et al., NeurIPS 2020) the model is learned iteratively, from
    the very architectures that it led to. Architectures that are being evaluated count as if they
    turned out as expected, so that several workers spread out.

    Args:
        problem: what is searched.
        initial: evaluations before the model is used. They are the best by the joint ranks of
            the scores and by the known losses, or random where there are no scores.
    """

    def __init__(self, problem: Problem[Arch], initial: int = 10) -> None:
        if initial < 2:
            raise InvalidValueError(f"`initial` must be at least 2, but got {initial}.")
        self._problem = problem
        self._initial = initial
        self._candidates = Candidates(problem)
        self._pool = Pool(problem, self._candidates, seed=0)
        self._processes: dict[int, PoolProcess] = {}

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose the most promising architecture of the pool."""
        if history.seed != self._pool.seed:
            self._pool = Pool(self._problem, self._candidates, history.seed)
            self._processes.clear()
        archs, losses = history.complete()
        if (pool := self._pool.with_more(archs)) is not self._pool:
            self._pool = pool
            self._processes.clear()
        rows = self._pool.rows(archs)
        rows, losses = rows[rows >= 0], losses[rows >= 0]
        if len(rows) < self._initial:
            return self._begin(history, rng)
        pending = self._pool.rows(history.pending)
        merit = self._merit(rows, losses, pending[pending >= 0], rng)
        best = self._best(merit, history)
        return self._candidates.draw(history.taken, rng) if best is None else best

    def _begin(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose from the best layer of scores and known losses, or at random without scores.

        Of a space that is too large to be listed the pool has a sample, which a random architecture
        is hardly ever in: the model would never have anything to learn from.
        """
        layers = self._pool.promise
        if layers is not None or self._candidates.listed is None:
            merit = rng.random(len(self._pool.archs))
            best = self._best(merit if layers is None else merit - layers, history)
            if best is not None:
                return best
        return self._candidates.draw(history.taken, rng)

    def _merit(
        self, rows: IntArray, losses: FloatArray, pending: IntArray, rng: np.random.Generator
    ) -> FloatArray:
        """Give the `(n,)` expected improvements over `(k, m)` losses of the rows."""
        known = self._pool.known_losses
        foreign = [index for index in known if not 0 <= index < losses.shape[1]]
        if foreign:
            raise InvalidValueError(
                f"`known_losses` must be of objectives 0 to {losses.shape[1] - 1}, but got "
                f"{foreign[0]}."
            )
        costs = np.column_stack([np.empty((len(self._pool.archs), 0)), *known.values()])
        unknown = [j for j in range(losses.shape[1]) if j not in known]
        if not unknown:
            return -pareto_ranks(costs).astype(np.float64)
        models = [self._learn(j, rows, losses[:, j], pending) for j in unknown]
        means, deviations, targets = (np.column_stack(part) for part in zip(*models, strict=True))
        evaluated = np.concatenate([rows, pending])
        return expected_improvement(means, deviations, costs, evaluated, targets, rng)

    def _learn(
        self, objective: int, rows: IntArray, losses: FloatArray, pending: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give `(n,)` means and deviations, and the losses of rows and pending ones, as scores."""
        if objective not in self._processes:
            self._processes[objective] = PoolProcess(self._pool.features)
        learned = losses[:MOST_LABELS]
        scores = normal_scores(learned)
        mean, deviation = self._processes[objective].posterior(rows[:MOST_LABELS], scores, pending)
        order = np.argsort(learned)
        own = np.interp(losses, learned[order], scores[order])
        return mean, deviation, np.concatenate([own, mean[pending]])

    def _best(self, merit: FloatArray, history: History[Arch]) -> Arch | None:
        """Give the feasible architecture of largest merit whose class and cost are to be had."""
        free = self._pool.free(history.taken)
        for losses in self._pool.known_losses.values():
            free &= np.isfinite(losses)
        chosen = np.flatnonzero(free)
        # Members of one class tie: the cheapest comes first.
        ordered = chosen[np.lexsort((self._pool.cheapness[chosen], -merit[chosen]))]
        archs = (self._pool.archs[row] for row in ordered)
        return next((arch for arch in archs if self._candidates.is_feasible(arch)), None)
