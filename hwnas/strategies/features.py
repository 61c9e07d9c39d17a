"""Inputs of a model that every architecture has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import numpy.typing as npt

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.graphs.path_shapes import PathShapes
from hwnas.graphs.paths import PathColumns
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
    features = _of_parameters(space, archs)
    return np.where(np.isnan(features), Scale.of(features).centre, features)


def describe_each(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give the `(n, f)` features of `describe`, a row whatever the other rows are.

    The position of an ordered parameter that an architecture does not have is NaN, for `Scale`.
    """
    archs = [space.representative(arch) for arch in archs]
    if (known := facet(space, Features)) is not None:
        return known.features(archs)
    return _of_parameters(space, archs)


@dataclass(frozen=True)
class Scale:
    """Shifts and divides columns so that those of a pool have mean 0 and variance 1.

    Attributes:
        centre: `(f,)` means of the pool.
        spread: `(f,)` standard deviations; a column without any is left out.
    """

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, features: FloatArray) -> Scale:
        """Take the `(n, f)` features of a pool; NaN does not count."""
        if not len(features):
            return cls(np.zeros(features.shape[1]), np.zeros(features.shape[1]))
        nowhere = np.isnan(features).all(axis=0)
        features = np.where(nowhere, 0.0, features)  # a column without any spread
        return cls(np.nanmean(features, axis=0), np.nanstd(features, axis=0))

    def restricted_to(self, columns: npt.NDArray[np.bool_]) -> Scale:
        """Leave out the columns that are not among the `(f,)` flagged ones."""
        return Scale(self.centre, np.where(columns, self.spread, 0.0))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Give `(n, f')` columns; NaN becomes 0."""
        kept = self.spread > 0
        scaled = (features[:, kept] - self.centre[kept]) / self.spread[kept]
        return np.asarray(np.nan_to_num(scaled))


@dataclass(frozen=True, eq=False)
class PoolInputs(Generic[Arch]):
    """What accuracies are learned from, by group: scores, choices, and two of the graphs' paths.

    Scores are their ranks within a pool of architectures drawn from the space, a missing one the
    worst; choices are scaled by the pool, whose paths are the columns of the last groups. What does
    not vary there, or what the space does not know, is left out. An ordered choice that a network
    does not have counts as the mean of the pool, so that its inputs are the same in any batch.
    Choices are those of the class representatives: equal networks have equal inputs.

    Attributes:
        space: search space.
        known: `(m,)` raw scores of the pool by the name of the proxy.
        ranks: scale of the normal scores.
        choices: scale of the features; None for no such group.
        paths: paths that are counted; None for no such group.
        shapes: what the paths are like; None for no such group.
    """

    space: SearchSpace[Arch]
    known: Mapping[str, FloatArray]
    ranks: Scale
    choices: Scale | None
    paths: PathColumns | None
    shapes: PathShapes | None

    @classmethod
    def of(
        cls,
        space: SearchSpace[Arch],
        archs: Sequence[Arch],
        columns: Mapping[str, FloatArray],
        *,
        graphs: Sequence[ArchGraph] | None = None,
        choices: bool = True,
    ) -> PoolInputs[Arch]:
        """Take a pool.

        Args:
            space: search space.
            archs: `(m,)` architectures.
            columns: their raw scores.
            graphs: whose paths are counted; the pool's if None.
            choices: whether there is a group of choices.
        """
        known = {name: _worst_first(np.asarray(values)) for name, values in columns.items()}
        ranks = Scale.of(_normal(known, known, len(archs)))
        features = Scale.of(describe_each(space, archs)) if choices else None
        graphs = graphs_of(space, archs) if graphs is None else graphs
        if not graphs:
            return cls(space, known, ranks, features, None, None)
        return cls(space, known, ranks, features, PathColumns.of(graphs), PathShapes.of(graphs))

    def __call__(
        self, archs: Sequence[Arch], columns: Mapping[str, FloatArray]
    ) -> list[FloatArray]:
        """Give the `(n, f)` inputs of architectures with their raw scores, each group around 0."""
        given = {name: _worst_first(np.asarray(columns[name])) for name in self.known}
        groups = [self.ranks(_normal(given, self.known, len(archs)))]
        if self.choices is not None:
            groups.append(self.choices(describe_each(self.space, archs)))
        if self.paths is not None and self.shapes is not None:
            graphs = graphs_of(self.space, archs) or ()
            groups += [self.paths(graphs), self.shapes(graphs)]
        return [group for group in groups if group.shape[1]]


def standardised(features: FloatArray) -> FloatArray:
    """Give `(n, f')` columns of mean 0 and variance 1, without constant ones; NaN becomes 0.

    Example:
        >>> standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
        array([[-1.],
               [ 1.]])
    """
    return Scale.of(features)(features)


def graphs_of(space: SearchSpace[Arch], archs: Sequence[Arch]) -> list[ArchGraph] | None:
    """Give the `(n,)` computation graphs; None where the space has none."""
    if (graphs := facet(space, Graphs)) is None:
        return None
    keys = [space.canonical_key(arch) for arch in archs]
    found = {
        key: graphs.to_graph(arch) for key, arch in dict(zip(keys, archs, strict=True)).items()
    }
    return [found[key] for key in keys]


def _worst_first(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), -np.inf, values)


def _normal(given: Mapping[str, FloatArray], known: Mapping[str, FloatArray], n: int) -> FloatArray:
    ranks = [normal_scores(values, known[name]) for name, values in given.items()]
    return np.array(ranks, dtype=np.float64).reshape(len(ranks), n).T


def _of_parameters(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    encoded = [space.encode(arch) for arch in archs]
    columns = [
        np.zeros((len(archs), 0)),  # a space of one network has no parameter
        *(
            _columns(options, [parameters.get(name) for parameters in encoded])
            for name, options in options_of(space).items()
        ),
    ]
    return np.concatenate(columns, axis=1)


def _columns(options: Options[Choice], chosen: Sequence[Choice | None]) -> FloatArray:
    """Give `(n, k)` numbers of one parameter; None where it does not exist, NaN as a position."""
    if not options.ordered:
        flags = [[value == option for option in options.values] for value in chosen]
        return np.array(flags, dtype=np.float64).reshape(len(chosen), len(options.values))
    places = [np.nan if value is None else options.place(value) for value in chosen]
    return np.array(places, dtype=np.float64)[:, None]
