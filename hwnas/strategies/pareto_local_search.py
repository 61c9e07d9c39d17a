"""Pareto local search: walk from the front to its neighbours until none of them is new."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.mutation import mutate
from hwnas.strategies.problem import Problem
from hwnas.strategies.selection import pareto_ranks
from hwnas.typing import Arch


class ParetoLocalSearch(Generic[Arch]):
    """Propose new neighbours of the front, then of the next layers.

    Paquete, Chiarandini and Stützle, Pareto Local Optimum Sets in the Biobjective Traveling
    Salesman Problem, 2004, with one random neighbour at a time instead of all of one
    architecture, so that the front is followed while it moves.

    Args:
        problem: what is searched.
        initial: random architectures in the beginning.
    """

    def __init__(self, problem: Problem[Arch], initial: int = 20) -> None:
        if initial < 1:
            raise InvalidValueError(f"`initial` must be at least 1, but got {initial}.")
        self._problem = problem
        self._initial = initial
        self._candidates = Candidates(problem)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose a neighbour of the best layer that has new ones, or a random architecture."""
        archs, losses = history.complete()
        if len(archs) >= self._initial:
            # Layer by layer, in random order within a layer.
            for i in map(int, np.lexsort((rng.random(len(archs)), pareto_ranks(losses)))):
                child = mutate(archs[i], self._problem.space, self._candidates, history, rng)
                if child is not None:
                    return child
        return self._candidates.draw(history.taken, rng)
