"""Which architectures to measure on a new device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.typing import Arch, DeadOperations, FloatArray, SearchSpace
from hwnas_predictors.bayesian_linear import Design, most_informative
from hwnas_predictors.device_prior import DevicePrior
from hwnas_predictors.features import ArchFeatures

LEARNED = 2
"""Sets of variances, the first ones, that have a say in a choice where dead operations are pruned.

A pool teaches these: one with its components, one without them. Without a pool they are the first
broad ones.

With a say of the broad sets, too, fewer predictions are within 10 %, see docs/predictors.md.
"""


@dataclass(frozen=True)
class SupportChoice(Generic[Arch]):
    """What a choice depends on.

    Attributes:
        space: search space.
        features: tells dead operations.
        prior: what is known before a measurement.
        blocks: gives `(n, p_b)` features of each block in a view.
        view: what the device does with dead operations; architectures that have some are no
            candidates where it prunes them.
        most: architectures to choose from, and as many to choose for; where the device prunes dead
            operations half as many, or twice those that are chosen if that is more, since there are
            two designs.
    """

    space: SearchSpace[Arch]
    features: ArchFeatures
    prior: DevicePrior
    blocks: Callable[[Sequence[Arch], DeadOperations], list[FloatArray]]
    view: DeadOperations
    most: int

    def choose(
        self, population: list[Arch], n: int, rng: np.random.Generator, unscored: int
    ) -> list[Arch]:
        """Choose `n` of a population so that the mean variance of all falls the most.

        Where dead operations are pruned both sets of variances that the pool teaches have a say,
        the one that trusts its components and the one without them: few devices of a pool do so,
        and what is best for their likes leaves a device that is unlike them in the dark.

        Raises:
            InvalidValueError: there are fewer candidates; `unscored` more have no scores.
        """
        pruned = self.view == "pruned"
        # Half to choose from and half to choose for, since the former are drawn by themselves.
        most = max(self.most // 2, 2 * n) if pruned else self.most
        others = _some(population, most, rng)
        possible = dict.fromkeys(filter(self._is_candidate, population if pruned else others))
        candidates = _some(list(possible), most, rng) if pruned else list(possible)
        if not 1 <= n <= len(candidates):
            without = f" ({unscored} more have no scores: give `archs`)" if unscored else ""
            raise InvalidValueError(
                f"`n` must be from 1 to {len(candidates)}, the candidates{without}, but got {n}."
            )
        prior, every = self.prior, self.blocks(others, self.view)
        if pruned:
            own = self.blocks(candidates, self.view)
        else:
            row = {arch: i for i, arch in enumerate(others)}
            own = [block[[row[arch] for arch in candidates]] for block in every]
        designs = [
            Design(prior.scale(own, s), prior.scale(every, s), float(np.exp(s.noise.mean)))
            for s in prior.scales[: LEARNED if pruned else 1]
        ]
        return [candidates[row] for row in most_informative(designs, n)]

    def _is_candidate(self, arch: Arch) -> bool:
        dead = self.view == "pruned" and self.features.has_dead([arch])
        return self.space.is_valid(arch) and not dead


def _some(archs: list[Arch], most: int, rng: np.random.Generator) -> list[Arch]:
    """Draw as many as there may be."""
    if len(archs) <= most:
        return archs
    return [archs[i] for i in rng.choice(len(archs), most, replace=False)]
