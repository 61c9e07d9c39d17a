"""Ready-made scores: which proxies are joined by their ranks, and how."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas.proxies import make_proxies
from hwnas.ranking.aggregation import Method, ReferenceRanking, log_rank, rank_sum, vote
from hwnas.typing import Direction, FloatArray, Proxy

_IN_POPULATION: Mapping[Method, Callable[..., FloatArray]] = {
    "log": log_rank,
    "sum": rank_sum,
    "vote": vote,
}

LEAST_AGREEMENT = 0.5
"""Spearman's coefficient of two seeds below which a proxy has no part in a reliable score."""


@dataclass(frozen=True)
class Recipe:
    """A set of proxies whose ranks make one score. Larger is better.

    Attributes:
        name: name of the score.
        proxies: (p,) names of the proxies, in the order of the columns below.
        source: where the set comes from.
        method: how the ranks are joined, see `hwnas.ranking.aggregation`.
        weights: (p,) weights of the proxies; None for 1 each.
        reliable: whether each weight is multiplied by the agreement of two seeds in the space that
            is ranked, see `weighed_by`.
    """

    name: str
    proxies: tuple[str, ...]
    source: str
    method: Method = "log"
    weights: tuple[float, ...] | None = None
    reliable: bool = False

    def make(self) -> list[Proxy]:
        """Make the proxies."""
        return make_proxies(self.proxies)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(p,) directions of the proxies."""
        return tuple(proxy.direction for proxy in self.make())

    def restricted_to(self, names: Collection[str]) -> Recipe:
        """Leave out the proxies that are not named, e.g. those without a value in a space."""
        kept = [i for i, name in enumerate(self.proxies) if name in names]
        return replace(
            self,
            proxies=tuple(self.proxies[i] for i in kept),
            weights=None if self.weights is None else tuple(self.weights[i] for i in kept),
        )

    def weighed_by(self, agreement: Mapping[str, float]) -> Recipe:
        """Multiply each weight by how well two seeds agree on the proxy in a space.

        A proxy whose seeds agree by less than `LEAST_AGREEMENT` says more about the draw than about
        the network, and is left out; so is one of unknown agreement. All are kept, with the weights
        of the recipe, where none is left, or where the recipe is not `reliable`.

        Args:
            agreement: Spearman's coefficient of two seeds by proxy, e.g. of
                `hwnas.study.stability.seed_agreement`.
        """
        trust = {name: agreement.get(name, np.nan) for name in self.proxies}
        kept = [name for name, value in trust.items() if value >= LEAST_AGREEMENT]
        if not self.reliable or not kept:
            return self
        left = self.restricted_to(kept)
        weights = left.weights or (1.0,) * len(kept)
        return replace(
            left, weights=tuple(w * trust[n] for w, n in zip(weights, kept, strict=True))
        )

    def in_population(self, values: npt.ArrayLike) -> FloatArray:
        """Join (n, p) values by their ranks within this population."""
        return _IN_POPULATION[self.method](values, self.directions, self.weights)

    def against(self, reference: npt.ArrayLike) -> ReferenceRanking:
        """Fit the score that ranks against the (n, p) values of a reference sample."""
        return ReferenceRanking(self.directions, self.method, self.weights).fit(reference)


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "az-nas",
            ("expressivity", "progressivity", "trainability", "flops"),
            "Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies, CVPR 2024",
        ),
        Recipe(
            "vkdnw-agg",
            ("vkdnw", "flops", "expressivity", "trainability", "jacob_cov"),
            "Týbl and Neumann, VKDNW, CVPR 2025, Sec. V-A",
        ),
        Recipe(
            "te-nas",
            ("te_nas_regions", "te_nas_ntk"),
            "Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021",
            method="sum",
        ),
        Recipe(
            "nasgraph+jacob_cov",
            ("nasgraph_avg_degree", "jacob_cov"),
            "Huang et al., NASGraph, 2024, Sec. 4.3",
            method="sum",
        ),
        Recipe(
            "zero-cost-vote",
            ("synflow", "jacob_cov", "snip"),
            "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021",
            method="vote",
        ),
        Recipe(
            "hwnas-agg",
            ("meco", "expressivity", "jacob_cov", "trainability", "epsilon"),
            "benchmarks/ranking/choose_aggregate.py, by CIFAR-10 accuracy on half of the classes",
            weights=(3.0, 2.0, 1.0, 1.0, 1.0),
        ),
        Recipe(
            "hwnas-any",
            ("meco", "expressivity", "jacob_cov", "trainability", "epsilon"),
            "hwnas-agg, each weight multiplied by the agreement of two seeds in the space",
            weights=(3.0, 2.0, 1.0, 1.0, 1.0),
            reliable=True,
        ),
        Recipe("jacob_cov+params", ("jacob_cov", "params"), "a cheap pair: one pass, one count"),
        Recipe("expressivity+params", ("expressivity", "params"), "another cheap pair"),
        Recipe("naswot+params", ("naswot", "params"), "another cheap pair"),
    )
}
"""The ready-made scores by name."""
