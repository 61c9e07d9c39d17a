"""Inputs of a model that every architecture has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from hwnas.typing import Arch, Arch_contra, FloatArray, SearchSpace


@runtime_checkable
class DescribedSpace(Protocol[Arch_contra]):
    """A space that knows features which say more than its parameters."""

    def features(self, archs: Sequence[Arch_contra]) -> FloatArray:
        """Give `(n, f)` features, equal for equal classes."""


def describe(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give `(n, f)` features: those of the space, or one flag for each choice of a parameter.

    The flags are those of the class representative; a parameter that an architecture does not
    have has no flag.
    """
    if isinstance(space, DescribedSpace):
        return space.features(archs)
    encoded = [space.encode(space.representative(arch)) for arch in archs]
    columns = [(name, choice) for name, choices in space.parameters.items() for choice in choices]
    flags = [[parameters.get(name) == choice for name, choice in columns] for parameters in encoded]
    return np.array(flags, dtype=np.float64).reshape(len(archs), len(columns))
