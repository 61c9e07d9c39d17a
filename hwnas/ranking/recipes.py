"""Ready-made scores: which proxies are joined by the logarithms of their ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy.typing as npt

from hwnas.proxies import make_proxies
from hwnas.ranking.aggregation import ReferenceRanking, log_rank
from hwnas.typing import Direction, FloatArray, Proxy


@dataclass(frozen=True)
class Recipe:
    """A set of proxies whose ranks make one score. Larger is better.

    Attributes:
        name: name of the score.
        proxies: (p,) names of the proxies, in the order of the columns below.
        source: where the set comes from.
    """

    name: str
    proxies: tuple[str, ...]
    source: str

    def make(self) -> list[Proxy]:
        """Make the proxies."""
        return make_proxies(self.proxies)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(p,) directions of the proxies."""
        return tuple(proxy.direction for proxy in self.make())

    def in_population(self, values: npt.ArrayLike) -> FloatArray:
        """Join (n, p) values by their ranks within this population: `log_rank`."""
        return log_rank(values, self.directions)

    def against(self, reference: npt.ArrayLike) -> ReferenceRanking:
        """Fit the score that ranks against the (n, p) values of a reference sample."""
        return ReferenceRanking(self.directions).fit(reference)


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
        Recipe("jacob_cov+params", ("jacob_cov", "params"), "a cheap pair: one pass, one count"),
    )
}
"""The ready-made scores by name."""
