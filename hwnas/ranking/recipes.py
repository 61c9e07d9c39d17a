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

_OTHER: Mapping[Direction, Direction] = {"maximize": "minimize", "minimize": "maximize"}
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
        instead: counts of a network's size, which share the weight of the members that have no
            value in a space, or that say more about the draw than about the network.
        opposed: members that count the other way round: their worst value ranks best.
        version: counts up whenever the score of this name becomes another, so that no study goes on
            with both.

    Example:
        Of three, the second has the smallest gradients and not the fewest parameters.

        >>> recipe = Recipe("mine", ("params", "grad_norm"), "", opposed=("grad_norm",))
        >>> recipe.members
        ('params', '-grad_norm')
        >>> int(recipe.in_population([[1.0, 5.0], [2.0, 1.0], [3.0, 9.0]]).argmax())
        1
    """

    name: str
    proxies: tuple[str, ...]
    source: str
    method: Method = "log"
    weights: tuple[float, ...] | None = None
    reliable: bool = False
    instead: tuple[str, ...] = ()
    opposed: tuple[str, ...] = ()
    version: int = 1

    @property
    def members(self) -> tuple[str, ...]:
        """(p,) names of the proxies as people read them, a minus before what is opposed."""
        return tuple(f"-{name}" if name in self.opposed else name for name in self.proxies)

    @property
    def needed(self) -> tuple[str, ...]:
        """(q,) names of all proxies that may have a part in a space."""
        return tuple(dict.fromkeys((*self.proxies, *self.instead)))

    def make(self) -> list[Proxy]:
        """Make the proxies that are needed."""
        return make_proxies(self.needed)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(p,) which values of the proxies are better; of those that are opposed, the others."""
        return tuple(
            _OTHER[proxy.direction] if proxy.name in self.opposed else proxy.direction
            for proxy in make_proxies(self.proxies)
        )

    def restricted_to(self, names: Collection[str]) -> Recipe:
        """Leave out the proxies that are not named, e.g. those without a value in a space."""
        kept = {name: w for name, w in self._weights().items() if name in names}
        left = replace(self, instead=tuple(name for name in self.instead if name in names))
        return left._with(kept, sum(w for name, w in self._weights().items() if name not in kept))

    def weighed_by(self, agreement: Mapping[str, float]) -> Recipe:
        """Multiply each weight by how well two seeds agree on the proxy in a space.

        A proxy whose seeds agree by less than `LEAST_AGREEMENT` says more about the draw than about
        the network, and is left out; so is one of unknown agreement. Their weight goes to what
        stands `instead`. All are kept, with the weights of the recipe, where nothing is left, or
        where the recipe is not `reliable`.

        Args:
            agreement: Spearman's coefficient of two seeds by proxy, e.g. of
                `hwnas.study.stability.seed_agreement`.
        """
        if not self.reliable:
            return self
        own, counts = self._weights(), [name for name in self.instead if name in agreement]
        trust = {name: 1.0 if name in counts else agreement.get(name, np.nan) for name in own}
        kept = {name: own[name] * t for name, t in trust.items() if t >= LEAST_AGREEMENT}
        if not kept and not counts:
            return self
        lost = sum(weight for name, weight in own.items() if name not in kept)
        return replace(self, instead=tuple(counts))._with(kept, lost)

    def _weights(self) -> dict[str, float]:
        weights = self.weights or (1.0,) * len(self.proxies)
        return dict(zip(self.proxies, weights, strict=True))

    def _with(self, weights: Mapping[str, float], lost: float) -> Recipe:
        """Give other weights, and what members lost that are left out to what stands instead."""
        given = dict(weights)
        for name in self.instead if lost else ():
            given[name] = given.get(name, 0.0) + lost / len(self.instead)
        plain = self.weights is None and set(given.values()) <= {1.0}
        return replace(self, proxies=tuple(given), weights=None if plain else tuple(given.values()))

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
            (
                "expressivity",
                "meco",
                "jacob_cov",
                "trainability",
                "epsilon",
                "swap",
                "params",
                "grad_norm",
            ),
            "benchmarks/ranking/choose_aggregate.py --any, as hwnas-agg; each weight is multiplied "
            "by the agreement of two seeds in the space; size stands for members without a value",
            weights=(3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
            reliable=True,
            instead=("params", "layers"),
            opposed=("grad_norm",),
            version=2,
        ),
        Recipe("jacob_cov+params", ("jacob_cov", "params"), "a cheap pair: one pass, one count"),
        Recipe("expressivity+params", ("expressivity", "params"), "another cheap pair"),
        Recipe("naswot+params", ("naswot", "params"), "another cheap pair"),
    )
}
"""The ready-made scores by name."""
