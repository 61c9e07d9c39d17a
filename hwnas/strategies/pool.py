"""The architectures that a model looks at, with everything that is known of them beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Generic

import numpy as np

from hwnas.ranking.aggregation import log_rank, normal_scores
from hwnas.ranking.ranks import average_ranks
from hwnas.seeding import derive_seed
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.features import describe, standardised
from hwnas.strategies.problem import BoolArray, Problem, columns_of, known_columns
from hwnas.strategies.selection import IntArray, pareto_ranks
from hwnas.typing import Arch, FloatArray

DRAWN = 5000
"""Architectures in the pool of a space that is too large to be listed."""

KNOWLEDGE_WEIGHT = 25.0
"""What all given features together weigh in a model's distances, in features of the space.

Their sum is fixed, not the weight of each: forty proxies say little more than six, and would
leave the space no say.
"""


class Pool(Generic[Arch]):
    """All candidates of a space that can be listed, or a random sample of a larger one and more.

    Args:
        problem: space, constraints, knowledge.
        candidates: the candidates of the same problem.
        seed: seed of the sample.
    """

    def __init__(self, problem: Problem[Arch], candidates: Candidates[Arch], seed: int) -> None:
        self.seed = seed
        self._problem = problem
        self._candidates = candidates
        self._more: tuple[Arch, ...] = ()
        self._outside: dict[Arch, bool] = {}

    def with_more(self, archs: Sequence[Arch]) -> Pool[Arch]:
        """Give a pool that has finished architectures as well, such as those of other samplers.

        Of those outside the sample it has the oldest ones, as many as the largest power of two, so
        that it is seldom made anew while they become more.
        """
        if self._candidates.listed is not None:
            return self
        for arch in archs:
            if arch not in self._outside:
                self._outside[arch] = self._problem.space.canonical_key(arch) not in self._drawn
        outside = [arch for arch in archs if self._outside[arch]]
        more = tuple(outside[: 1 << (len(outside).bit_length() - 1)] if outside else ())
        if more == self._more:
            return self
        found = Pool(self._problem, self._candidates, self.seed)
        found._more, found._outside, found._drawn = more, self._outside, self._drawn
        return found

    @cached_property
    def _drawn(self) -> dict[str, Arch]:
        rng = np.random.default_rng(derive_seed(self.seed, "pool"))
        return self._candidates.draw_many(DRAWN, rng)

    @cached_property
    def _entries(self) -> Sequence[tuple[str, Arch]]:
        if self._candidates.listed is not None:
            return self._candidates.listed
        more = ((self._problem.space.canonical_key(arch), arch) for arch in self._more)
        return [*self._drawn.items(), *more]

    @cached_property
    def archs(self) -> list[Arch]:
        """(n,) architectures; several may share a class."""
        return [arch for _, arch in self._entries]

    @cached_property
    def _row(self) -> dict[Arch, int]:
        return {arch: row for row, arch in enumerate(self.archs)}

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, (key, _) in enumerate(self._entries):
            rows.setdefault(key, []).append(row)
        return rows

    @cached_property
    def features(self) -> FloatArray:
        """(n, f) standardised inputs of a model."""
        knowledge = self._problem.knowledge
        columns = [standardised(describe(self._problem.space, self.archs))]
        if knowledge is not None and knowledge.features is not None:
            given = known_columns(knowledge.features, self.archs, "features")
            ranked = standardised(np.apply_along_axis(normal_scores, 0, given))
            columns.append(math.sqrt(KNOWLEDGE_WEIGHT / max(ranked.shape[1], 1)) * ranked)
        return np.concatenate(columns, axis=1)

    @cached_property
    def known_losses(self) -> dict[int, FloatArray]:
        """(n,) losses that are known beforehand, by the index of their objective."""
        knowledge = self._problem.knowledge
        known = {} if knowledge is None else knowledge.known_losses
        losses = {}
        for index, give in known.items():
            column = columns_of(give, self.archs, f"known_losses[{index}]")
            losses[index] = column[:, 0]
        return losses

    @cached_property
    def cheapness(self) -> FloatArray:
        """(n,) sums of the ranks of the known losses, smaller is cheaper; 0 if there are none."""
        ranks = [average_ranks(losses) for losses in self.known_losses.values()]
        return np.asarray(sum(ranks, np.zeros(len(self.archs))), dtype=np.float64)

    @cached_property
    def promise(self) -> IntArray | None:
        """(n,) Pareto layers of joint scores and known losses, 0 for the best; None without scores.

        A missing loss is the worst.
        """
        knowledge = self._problem.knowledge
        if knowledge is None or knowledge.scores is None:
            return None
        scores = known_columns(knowledge.scores, self.archs, "scores")
        joint = log_rank(scores, ["maximize"] * scores.shape[1])
        losses = np.column_stack([-joint, *self.known_losses.values()])
        return pareto_ranks(
            np.apply_along_axis(average_ranks, 0, np.nan_to_num(losses, nan=np.inf))
        )

    def free(self, taken: AbstractSet[str]) -> BoolArray:
        """Tell which rows' classes are not taken, `(n,)`."""
        free = np.ones(len(self.archs), dtype=np.bool_)
        free[[row for key in taken for row in self._rows_of.get(key, ())]] = False
        return free

    def rows(self, archs: Sequence[Arch]) -> IntArray:
        """Find architectures by class, `(n,)`; -1 where the pool has no member of it.

        Where it has several, the architecture itself is found if it is one of them.
        """
        return np.array([self._find(arch) for arch in archs], dtype=np.intp)

    def _find(self, arch: Arch) -> int:
        if arch in self._row:
            return self._row[arch]
        return self._rows_of.get(self._problem.space.canonical_key(arch), [-1])[0]
