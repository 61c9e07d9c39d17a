"""Ready-made scores: which proxies are joined by their ranks, and how."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy.typing as npt

from hwnas.proxies import make_proxies
from hwnas.ranking.aggregation import Method, ReferenceRanking, log_rank, rank_sum, vote
from hwnas.typing import Direction, FloatArray, Proxy

_IN_POPULATION: Mapping[Method, Callable[..., FloatArray]] = {
    "log": log_rank,
    "sum": rank_sum,
    "vote": vote,
}


@dataclass(frozen=True)
class Recipe:
    """A set of proxies whose ranks make one score. Larger is better.

    Attributes:
        name: name of the score.
        proxies: (p,) names of the proxies, in the order of the columns below.
        source: where the set comes from.
        method: how the ranks are joined, see `hwnas.ranking.aggregation`.
        weights: (p,) weights of the proxies; None for 1 each.
    """

    name: str
    proxies: tuple[str, ...]
    source: str
    method: Method = "log"
    weights: tuple[float, ...] | None = None

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
        Recipe("jacob_cov+params", ("jacob_cov", "params"), "a cheap pair: one pass, one count"),
    )
}
"""The ready-made scores by name."""
