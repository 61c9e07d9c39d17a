"""Warm-up: the first evaluations go to the best of a random pool by its proxies."""

from __future__ import annotations

from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import log_rank
from hwnas.seeding import derive_seed
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.problem import Problem
from hwnas.typing import Arch

POOL = 3000
"""Architectures of the pool in Abdelfattah et al. (ICLR 2021) and Gracheva (2023, Sec. 2.2)."""


class WarmUp(Generic[Arch]):
    """The best architectures of a random pool, best first.

    Args:
        problem: what is searched; its knowledge must have scores, unless `proposals` is 0.
        candidates: the candidates of the same problem.
        proposals: proposals that come from the pool.
        pool: different architectures in the pool.

    Raises:
        InvalidValueError: a number is negative, or there are no scores.
    """

    def __init__(
        self,
        problem: Problem[Arch],
        candidates: Candidates[Arch],
        proposals: int,
        pool: int = POOL,
    ) -> None:
        if proposals < 0 or pool < proposals:
            raise InvalidValueError(
                f"`warm_up` must be in 0 to {pool}, the size of its pool, but got {proposals}."
            )
        if proposals:
            problem.require_scores("a warm-up")
        self._problem = problem
        self._candidates = candidates
        self._proposals = proposals
        self._size = pool
        self._best: dict[int, list[Arch]] = {}

    def propose(self, history: History[Arch]) -> Arch | None:
        """Give the best architecture that is not taken; None when the warm-up is over."""
        if len(history.taken) >= self._proposals:
            return None
        if history.seed not in self._best:
            self._best = {history.seed: self._ordered_pool(history.seed)}
        best, key = self._best[history.seed], self._problem.space.canonical_key
        return next((arch for arch in best if key(arch) not in history.taken), None)

    def _ordered_pool(self, seed: int) -> list[Arch]:
        """Draw the pool and order it by the joint ranks of its scores, best first."""
        rng = np.random.default_rng(derive_seed(seed, "warm-up"))
        pool = list(self._candidates.draw_many(self._size, rng).values())
        scores = np.asarray(self._problem.require_scores("a warm-up")(pool), dtype=np.float64)
        joint = log_rank(scores, ["maximize"] * scores.shape[1])
        return [pool[i] for i in np.argsort(-joint, kind="stable")]
