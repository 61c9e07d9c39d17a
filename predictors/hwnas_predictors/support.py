"""Which architectures to measure on a new device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.typing import Arch, DeadOperations, FloatArray, SearchSpace
from hwnas_predictors.bayesian_linear import most_informative
from hwnas_predictors.device_prior import DevicePrior
from hwnas_predictors.features import ArchFeatures


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
        most: architectures to choose from and for.
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

        Raises:
            InvalidValueError: there are fewer candidates; `unscored` more have no scores.
        """
        if self.view == "pruned":
            population = [arch for arch in population if self._is_candidate(arch)]
        if len(population) > self.most:
            drawn = rng.choice(len(population), self.most, False)
            population = [population[i] for i in drawn]
        candidates = [arch for arch in population if self._is_candidate(arch)]
        if not 1 <= n <= len(candidates):
            without = f" ({unscored} more have no scores: give `archs`)" if unscored else ""
            raise InvalidValueError(
                f"`n` must be from 1 to {len(candidates)}, the candidates{without}, but got {n}."
            )
        scaled = self.prior.scale(self.blocks(population, self.view))
        possible = np.array([self._is_candidate(arch) for arch in population])
        noise = float(np.exp(self.prior.scales[0].noise.mean))
        return [candidates[row] for row in most_informative(scaled[possible], scaled, n, noise)]

    def _is_candidate(self, arch: Arch) -> bool:
        dead = self.view == "pruned" and self.features.has_dead([arch])
        return self.space.is_valid(arch) and not dead
