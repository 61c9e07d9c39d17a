"""Learned rankings by name: which inputs a regressor gets, and which regressor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.ranking.aggregation import normal_scores
from hwnas.ranking.ensemble import ensemble
from hwnas.ranking.model_driven import ModelRanking
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.facets import Features, facet
from hwnas.strategies.features import describe_exactly
from hwnas.typing import Arch, FloatArray, SearchSpace

_VKDNW = "Týbl and Neumann, VKDNW, CVPR 2025, Sec. V-A"
PRIOR_LABELS = 50
"""How many labels the ready-made score weighs as much as, that a learned ranking begins with."""
_FIM = tuple(f"fim_decile:decile={decile}" for decile in range(1, 10))


@dataclass(frozen=True)
class ModelRecipe:
    """A regressor that learns accuracies of labelled architectures.

    Attributes:
        name: name of the ranking.
        proxies: proxies that are needed, as `make_proxies` reads them.
        every_proxy: whether every other proxy that there is a column of is an input too.
        graph: whether the space's features of an architecture are inputs, those of GRAF for cells
            of NAS-Bench-201.
        source: where the set comes from.
        regressor: makes the regressor from a seed and the number of labels; None for a random
            forest.
        prior: ready-made score that the ranking begins with, where its proxies are given. It is an
            input of the regressor, and joined with the prediction like `PRIOR_LABELS` labels.
        flags: whether a flag for each choice will do in a space that has no features.
    """

    name: str
    proxies: tuple[str, ...]
    every_proxy: bool
    graph: bool
    source: str
    regressor: Callable[[int, int], Any] | None = None
    prior: str | None = None
    flags: bool = False

    def fits(self, space: SearchSpace[Arch]) -> bool:
        """Tell whether the space knows what the ranking learns from."""
        return not self.graph or self.flags or facet(space, Features) is not None

    def columns(self, given: Sequence[str]) -> list[str] | None:
        """Choose among the columns that are given; None if one that is needed is absent."""
        from hwnas.proxies import make_proxies

        needed = [proxy.name for proxy in make_proxies(self.proxies)]
        if not set(needed) <= set(given):
            return None
        chosen = list(given) if self.every_proxy else needed
        return chosen if chosen or self.graph else None

    def predict(
        self,
        space: SearchSpace[Arch],
        columns: Mapping[str, FloatArray],
        archs: Sequence[Arch],
        labelled: npt.NDArray[np.intp],
        accuracies: npt.ArrayLike,
        seed: int,
    ) -> FloatArray:
        """Learn from some architectures and predict all.

        Args:
            space: search space.
            columns: (n,) raw scores by the name of the proxy, those of `columns`. The ranks of a
                prior are taken within these n architectures.
            archs: (n,) architectures.
            labelled: (s,) indices of those that are learned from.
            accuracies: (s,) their accuracies.
            seed: seed of the regressor.

        Returns:
            (n,) predicted accuracies, the labelled ones' among them.
        """
        inputs = [np.asarray(values)[:, None] for values in columns.values()]
        if self.graph:
            inputs.append(describe_exactly(space, archs))
        prior = self._prior(columns)
        if prior is not None:
            inputs.append(prior[:, None])
        table = np.concatenate(inputs, axis=1)
        regressor = None if self.regressor is None else self.regressor(seed, len(labelled))
        model = ModelRanking(regressor, seed=seed).fit(table[labelled], accuracies)
        learned = model.predict(table)
        return learned if prior is None else _joined(learned, prior, len(labelled))

    def _prior(self, columns: Mapping[str, FloatArray]) -> FloatArray | None:
        """Give the (n,) ready-made scores, if there are any."""
        if self.prior is None or not set(RECIPES[self.prior].proxies) <= set(columns):
            return None
        recipe = RECIPES[self.prior]
        return recipe.in_population(np.column_stack([columns[name] for name in recipe.proxies]))


def _joined(learned: FloatArray, prior: FloatArray, labels: int) -> FloatArray:
    """Reorder (n,) predictions by the mean of both orders, weighted by the labels behind them."""
    mean = labels * normal_scores(learned) + PRIOR_LABELS * normal_scores(prior)
    joined = np.empty_like(learned)
    joined[np.argsort(mean, kind="stable")] = np.sort(learned)
    return joined


MODEL_RECIPES: Mapping[str, ModelRecipe] = {
    recipe.name: recipe
    for recipe in (
        ModelRecipe("vkdnw-model", (*_FIM, "layers", "flops"), False, False, _VKDNW),
        ModelRecipe(
            "graf-model",
            (),
            False,
            True,
            "Kadlecová et al., Surprisingly Strong Performance Prediction, ICML 2024",
        ),
        ModelRecipe("vkdnw-zcs-graf-model", (*_FIM, "layers", "flops"), True, True, _VKDNW),
        ModelRecipe(
            "hwnas-model", (), True, True, "hwnas.ranking.ensemble", ensemble, "hwnas-agg", True
        ),
    )
}
"""The learned rankings by name."""
