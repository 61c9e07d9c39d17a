"""Random search without repetition, with a warm-up by proxies if wanted."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.problem import Problem
from hwnas.strategies.warm_up import WarmUp
from hwnas.typing import Arch


class RandomSearch(Generic[Arch]):
    """Propose each class once, in random order.

    Args:
        problem: what is searched.
        warm_up: first proposals, which are the best of a random pool by their scores
            (Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021).
    """

    def __init__(self, problem: Problem[Arch], warm_up: int = 0) -> None:
        self._candidates = Candidates(problem)
        self._warm_up = WarmUp(problem, self._candidates, warm_up)

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose from the warm-up pool, then at random."""
        best = self._warm_up.propose(history)
        return self._candidates.draw(history.taken, rng) if best is None else best
