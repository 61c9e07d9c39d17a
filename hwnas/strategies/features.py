"""Inputs of a model that every architecture has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas.graphs.paths import path_counts
from hwnas.ranking.aggregation import normal_scores
from hwnas.spaces.choices import Options, options_of
from hwnas.spaces.facets import Features, Graphs, facet
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


def input_groups(
    space: SearchSpace[Arch], archs: Sequence[Arch], columns: Mapping[str, FloatArray]
) -> list[FloatArray]:
    """Give what accuracies are learned from, by group: scores, choices, and paths of the graphs.

    Args:
        space: search space.
        archs: `(n,)` architectures.
        columns: `(n,)` raw scores by the name of the proxy; their ranks count, a missing one is the
            worst.

    Returns:
        `(n, f)` arrays around 0; what does not vary, or what the space does not know, is left out.
    """
    ranks = [normal_scores(np.where(np.isnan(c), -np.inf, c)) for c in columns.values()]
    groups = [standardised(np.column_stack(ranks))] if ranks else []
    groups.append(standardised(describe_exactly(space, archs)))
    if (graphs := facet(space, Graphs)) is not None:
        keys = [space.canonical_key(arch) for arch in archs]
        known = {
            key: graphs.to_graph(arch) for key, arch in dict(zip(keys, archs, strict=True)).items()
        }
        groups.append(path_counts([known[key] for key in keys]))
    return [group for group in groups if group.shape[1]]


def standardised(features: FloatArray) -> FloatArray:
    """Give `(n, f')` columns of mean 0 and variance 1, without constant ones; NaN becomes 0."""
    spread = np.nanstd(features, axis=0) if len(features) else np.zeros(features.shape[1])
    varied = features[:, spread > 0]
    scaled = (varied - np.nanmean(varied, axis=0)) / spread[spread > 0] if varied.size else varied
    return np.nan_to_num(scaled)


def _columns(options: Options[Any], chosen: Sequence[Choice | None]) -> FloatArray:
    """Give `(n, k)` numbers of one parameter; None where it does not exist."""
    if not options.ordered:
        flags = [[value == option for option in options.values] for value in chosen]
        return np.array(flags, dtype=np.float64).reshape(len(chosen), len(options.values))
    places = [np.nan if value is None else options.values.index(value) for value in chosen]
    column = np.array(places, dtype=np.float64)[:, None]
    known = column[~np.isnan(column)]
    return np.asarray(np.nan_to_num(column, nan=known.mean() if known.size else 0.0))
