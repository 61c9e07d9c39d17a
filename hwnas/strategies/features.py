"""Inputs of a model that every architecture has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.spaces.facets import Features, facet
from hwnas.typing import Arch, FloatArray, SearchSpace


def describe(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give `(n, f)` features: those of the space, or one flag for each choice of a parameter.

    They are those of the class representatives, equal for equal networks; a parameter that an
    architecture does not have has no flag.
    """
    return describe_exactly(space, [space.representative(arch) for arch in archs])


def describe_exactly(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give the `(n, f)` features of `describe` of exactly these architectures."""
    if (known := facet(space, Features)) is not None:
        return known.features(archs)
    encoded = [space.encode(arch) for arch in archs]
    columns = [(name, choice) for name, choices in space.parameters.items() for choice in choices]
    flags = [[parameters.get(name) == choice for name, choice in columns] for parameters in encoded]
    return np.array(flags, dtype=np.float64).reshape(len(archs), len(columns))
