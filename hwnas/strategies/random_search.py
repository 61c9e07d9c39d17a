"""Random search without repetition, with a warm-up by proxies if wanted."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.problem import Problem
from hwnas.typing import Arch


class RandomSearch(Generic[Arch]):
    """Propose each class once, in random order.

    Args:
        problem: what is searched.
    """

    def __init__(self, problem: Problem[Arch]) -> None:
        self._candidates = Candidates(problem)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Draw a new architecture."""
        return self._candidates.draw(history.taken, rng)
