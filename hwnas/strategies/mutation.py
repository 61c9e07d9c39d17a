"""New architectures at edit distance one."""

from __future__ import annotations

import numpy as np

from hwnas.strategies.candidates import Candidates
from hwnas.strategies.history import History
from hwnas.strategies.neighbours import neighbours_in_random_order
from hwnas.typing import Arch, SearchSpace


def mutate(
    parent: Arch,
    space: SearchSpace[Arch],
    candidates: Candidates[Arch],
    history: History[Arch],
    rng: np.random.Generator,
) -> Arch | None:
    """Give a random neighbour whose class may be proposed; None if there is none."""
    near = neighbours_in_random_order(parent, space, rng)
    return next(candidates.new(near, history.taken), None)
