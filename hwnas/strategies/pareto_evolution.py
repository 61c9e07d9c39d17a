"""Multi-objective evolution over classes: Pareto rank, crowding, mutation at edit distance one."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.mutation import mutate
from hwnas.strategies.problem import Problem
from hwnas.strategies.selection import best_first
from hwnas.typing import Arch

_PARENTS_TRIED = 10


class ParetoEvolution(Generic[Arch]):
    """Evolve a population one child at a time.

    The population are the best finished architectures by Pareto rank and crowding distance, as in
    NSGA-II (Deb et al., 2002). A parent wins a binary tournament; its child is a random neighbour
    of it whose class is new. The first proposals are random, and so is one whose parents have no
    new neighbour.

    Args:
        problem: what is searched.
        population: architectures that may become parents, and random ones in the beginning.
    """

    def __init__(self, problem: Problem[Arch], population: int = 20) -> None:
        if population < 2:
            raise InvalidValueError(f"`population` must be at least 2, but got {population}.")
        self._problem = problem
        self._population = population
        self._candidates = Candidates(problem)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose a child, or a random architecture."""
        archs, losses = history.complete()
        if len(archs) >= self._population:
            parents = best_first(losses)[: self._population]
            for _ in range(_PARENTS_TRIED):
                # Positions are ranks: the smaller one of two wins the tournament.
                winner = int(parents[rng.integers(len(parents), size=2).min()])
                child = mutate(archs[winner], self._problem.space, self._candidates, history, rng)
                if child is not None:
                    return child
        return self._candidates.draw(history.taken, rng)
