"""New architectures at edit distance one."""

from __future__ import annotations

import numpy as np

from hwnas.spaces.facets import Mutations, facet
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.typing import Arch, SearchSpace


def mutate(
    parent: Arch,
    space: SearchSpace[Arch],
    candidates: Candidates[Arch],
    history: History[Arch],
    rng: np.random.Generator,
) -> Arch | None:
    """Give a random neighbour whose class may be proposed; None if there is none."""
    if (drawn := facet(space, Mutations)) is not None:
        return next(candidates.new(drawn.mutations(parent, rng), history.taken), None)
    neighbours = space.neighbours(parent)
    shuffled = (neighbours[i] for i in rng.permutation(len(neighbours)))
    return next(candidates.new(shuffled, history.taken), None)
