"""Regularised (ageing) evolution of one objective, with warm-up and move by proxies."""

from __future__ import annotations

from typing import Generic, Literal

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import log_rank
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.mutation import mutate
from hwnas.strategies.problem import Problem
from hwnas.strategies.warm_up import WarmUp
from hwnas.typing import Arch, FloatArray

_TOURNAMENTS = 10


class AgeingEvolution(Generic[Arch]):
    """Mutate the best of a random sample of the youngest architectures.

    Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019. The
    population are the youngest finished architectures: the oldest one makes room for each child.
    Warm-up and move are those of Gracheva (arXiv 2302.04406, 2023, Sec. 2.2).

    Args:
        problem: what is searched.
        population: architectures that may become parents, and random ones in the beginning.
        sample: architectures of a tournament.
        warm_up: first proposals, the best of a random pool by their scores instead of random ones.
        parents: what decides a tournament: the objective, or the scores ("move").

    Raises:
        InvalidValueError: a number is out of bounds, or scores are needed and there are none.
    """

    def __init__(
        self,
        problem: Problem[Arch],
        population: int = 64,
        sample: int = 10,
        warm_up: int = 0,
        parents: Literal["objective", "scores"] = "objective",
    ) -> None:
        if not 1 <= sample <= population:
            raise InvalidValueError(
                f"`sample` must be in 1 to {population}, the population, but got {sample}."
            )
        if parents not in ("objective", "scores"):
            raise InvalidValueError(f"`parents` must be objective or scores, but got {parents!r}.")
        if parents == "scores":
            problem.require_scores("a move")
        self._problem = problem
        self._population = population
        self._sample = sample
        self._by_scores = parents == "scores"
        self._candidates = Candidates(problem)
        self._warm_up = WarmUp(problem, self._candidates, warm_up)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose from the warm-up pool, then a child, or a random architecture.

        Raises:
            InvalidValueError: there are several objectives.
        """
        first = self._warm_up.propose(history)
        if first is not None:
            return first
        archs, losses = history.complete()
        if losses.shape[1] > 1:
            raise InvalidValueError(
                f"`values` must have one objective for ageing evolution, but got "
                f"{losses.shape[1]}: use pareto-evolution."
            )
        if len(archs) >= self._population:
            youngest, fitness = archs[-self._population :], losses[-self._population :, 0]
            for _ in range(_TOURNAMENTS):
                parent = self._tournament(youngest, fitness, rng)
                child = mutate(parent, self._problem.space, self._candidates, history, rng)
                if child is not None:
                    return child
        return self._candidates.draw(history.taken, rng)

    def _tournament(self, archs: list[Arch], losses: FloatArray, rng: np.random.Generator) -> Arch:
        chosen = [int(i) for i in rng.choice(len(archs), size=self._sample, replace=False)]
        if not self._by_scores:
            return archs[min(chosen, key=lambda i: losses[i])]
        scores = self._problem.require_scores("a move")([archs[i] for i in chosen])
        joint = log_rank(scores, ["maximize"] * scores.shape[1])
        return archs[chosen[int(np.argmax(joint))]]
