"""Networks of a space with their scores, and what is believed of others by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from hwnas.ranking.aggregation import ReferenceRanking, normal_places
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.study.stability import STABLE
from hwnas.typing import Arch, FloatArray, SearchSpace

BEGINNING = RECIPES["hwnas-any"]
"""Ready-made score that is believed before there is a label."""


@dataclass(frozen=True, eq=False)
class Sample(Generic[Arch]):
    """Networks drawn from a space, with raw scores.

    Attributes:
        space: search space.
        archs: `(n,)` architectures; many, since ranks are taken among them.
        columns: `(n,)` raw scores by the name of the proxy, NaN where there is none.
        agreement: how alike two seeds rank by the name of the proxy; None where it is not known.
    """

    space: SearchSpace[Arch]
    archs: Sequence[Arch]
    columns: Mapping[str, FloatArray]
    agreement: Mapping[str, float] | None = None

    @property
    def stable(self) -> dict[str, FloatArray]:
        """The columns without those that are known to rank at random, below `STABLE`."""
        alike = self.agreement or {}
        return {n: c for n, c in self.columns.items() if not alike.get(n, 1.0) < STABLE}

    def belief(self, score: Recipe = BEGINNING) -> Belief | None:
        """Give a ready-made score by what there is of its proxies; None for nothing.

        Args:
            score: a reliable one is weighed by the agreement of two seeds.
        """
        there = [name for name, values in self.columns.items() if not np.isnan(values).all()]
        recipe = score.restricted_to(there)
        if not recipe.proxies:
            return None
        if self.agreement is not None:
            alike = {n: self.agreement.get(n, np.nan) for n in recipe.needed}
            recipe = recipe.weighed_by(alike)
        table = np.column_stack([self.columns[n] for n in recipe.proxies])
        ranking = recipe.against(table)
        return Belief(recipe.proxies, ranking, ranking.score(table))


@dataclass(frozen=True, eq=False)
class Belief:
    """A ready-made score of any network, by a sample of its space.

    Attributes:
        proxies: `(p,)` names of the columns that it needs.
        ranking: the score.
        known: `(n,)` scores of the sample.
    """

    proxies: Sequence[str]
    ranking: ReferenceRanking
    known: FloatArray

    def __call__(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Give the `(m,)` normal scores of networks among the sample's, by their raw scores."""
        table = np.column_stack([columns[name] for name in self.proxies])
        return normal_places(self.ranking.score(table), self.known)


@dataclass(frozen=True, eq=False)
class Labelled(Generic[Arch]):
    """A sample that was trained.

    Attributes:
        sample: the networks.
        accuracies: `(n,)` accuracies, of any task; larger is better.
        about: where they are from, for people.
    """

    sample: Sample[Arch]
    accuracies: FloatArray
    about: str = ""
