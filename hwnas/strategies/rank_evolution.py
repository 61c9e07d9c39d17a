"""Training-free evolution by joint ranks over the population, for large spaces."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import log_rank
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.mutation import mutate
from hwnas.strategies.problem import Problem
from hwnas.typing import Arch

_PARENTS_TRIED = 10


class RankEvolution(Generic[Arch]):
    """Mutate a random member of the population that is best in all losses together.

    The evolution of AZ-NAS (Lee and Ham, CVPR 2024) and VKDNW (Týbl and Neumann, 2025): every
    loss is one proxy, and fitness is the sum of the logarithms of an architecture's ranks among
    all that are finished (`hwnas.ranking.aggregation.log_rank`), so that it changes while the
    search goes on. A FLOPs budget is a bound of the problem (`feasible`).

    Args:
        problem: what is searched.
        population: architectures that may become parents, and random ones in the beginning.
    """

    def __init__(self, problem: Problem[Arch], population: int = 1024) -> None:
        if population < 1:
            raise InvalidValueError(f"`population` must be at least 1, but got {population}.")
        self._problem = problem
        self._population = population
        self._candidates = Candidates(problem)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose a child, or a random architecture."""
        archs, losses = history.complete()
        if len(archs) >= self._population:
            fitness = log_rank(losses, ["minimize"] * losses.shape[1])
            best = np.argsort(-fitness, kind="stable")[: self._population]
            for parent in map(int, rng.choice(best, size=_PARENTS_TRIED)):
                child = mutate(archs[parent], self._problem.space, self._candidates, history, rng)
                if child is not None:
                    return child
        return self._candidates.draw(history.taken, rng)
