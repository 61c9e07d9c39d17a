"""Inputs of a model that every architecture has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas.spaces.choices import Options, options_of
from hwnas.spaces.facets import Features, facet
from hwnas.typing import Arch, Choice, FloatArray, SearchSpace


def describe(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give `(n, f)` features: those of the space, or what the parameters tell.

    They are those of the class representatives, equal for equal networks. Parameters tell one flag
    for each option, or the position of an ordered one; one that an architecture does not have has
    no flag, and the mean position of the others.
    """
    return describe_exactly(space, [space.representative(arch) for arch in archs])


def describe_exactly(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give the `(n, f)` features of `describe` of exactly these architectures."""
    if (known := facet(space, Features)) is not None:
        return known.features(archs)
    encoded = [space.encode(arch) for arch in archs]
    columns = [
        _columns(options, [parameters.get(name) for parameters in encoded])
        for name, options in options_of(space).items()
    ]
    return np.concatenate(columns, axis=1)


def _columns(options: Options[Any], chosen: Sequence[Choice | None]) -> FloatArray:
    """Give `(n, k)` numbers of one parameter; None where it does not exist."""
    if not options.ordered:
        flags = [[value == option for option in options.values] for value in chosen]
        return np.array(flags, dtype=np.float64).reshape(len(chosen), len(options.values))
    places = [np.nan if value is None else options.values.index(value) for value in chosen]
    column = np.array(places, dtype=np.float64)[:, None]
    known = column[~np.isnan(column)]
    return np.asarray(np.nan_to_num(column, nan=known.mean() if known.size else 0.0))
