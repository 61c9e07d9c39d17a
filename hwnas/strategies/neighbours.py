"""What differs in one choice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas.spaces.facets import Mutations, facet
from hwnas.typing import Arch, SearchSpace


def neighbours_in_random_order(
    parent: Arch, space: SearchSpace[Arch], rng: np.random.Generator
) -> Iterator[Arch]:
    """Yield what differs in one choice; a space's own `Mutations` see to it that none is twice."""
    if (drawn := facet(space, Mutations)) is not None:
        yield from drawn.mutations(parent, rng)
        return
    neighbours = space.neighbours(parent)
    yield from (neighbours[i] for i in rng.permutation(len(neighbours)))
