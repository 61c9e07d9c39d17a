"""Learned rankings by name: what they learn from, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.spaces.facets import Features, facet
from hwnas.typing import Arch, FloatArray, SearchSpace

if TYPE_CHECKING:  # learning imports much that naming does not need
    from hwnas.study.sample import Labelled

_VKDNW = "Týbl and Neumann, VKDNW, CVPR 2025, Sec. V-A"
_FIM = tuple(f"fim_decile:decile={decile}" for decile in range(1, 10))


@dataclass(frozen=True)
class ModelRecipe:
    """A random forest that learns accuracies of labelled architectures, as papers have it.

    Attributes:
        name: name of the ranking.
        proxies: proxies that are needed, as `make_proxies` reads them.
        every_proxy: whether every other proxy that there is a column of is an input too.
        graph: whether the space's features of an architecture are inputs, those of GRAF for cells
            of NAS-Bench-201.
        source: where the set comes from.
    """

    name: str
    proxies: tuple[str, ...]
    every_proxy: bool
    graph: bool
    source: str

    def fits(self, space: SearchSpace[Arch]) -> bool:
        """Tell whether the space knows what the ranking learns from."""
        return not self.graph or facet(space, Features) is not None

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
        agreement: Mapping[str, float] | None = None,
        elsewhere: Sequence[Labelled[Any]] = (),
    ) -> FloatArray:
        """Learn from some architectures and predict all.

        Args:
            space: search space.
            columns: (n,) raw scores by the name of the proxy, those of `columns`.
            archs: (n,) architectures.
            labelled: (s,) indices of those that are learned from.
            accuracies: (s,) their accuracies.
            seed: seed of the forest.
            agreement: is not looked at.
            elsewhere: is not looked at.

        Returns:
            (n,) predicted accuracies, the labelled ones' among them.
        """
        from hwnas.ranking.model_driven import ModelRanking
        from hwnas.strategies.features import describe_exactly

        del agreement, elsewhere
        inputs = [np.asarray(values)[:, None] for values in columns.values()]
        if self.graph:
            inputs.append(describe_exactly(space, archs))
        table = np.concatenate(inputs, axis=1)
        model = ModelRanking(seed=seed).fit(table[labelled], accuracies)
        return model.predict(table)


@dataclass(frozen=True)
class AccuracyRecipe:
    """A ranking of any space that begins with a ready-made score, see `learn_from`.

    Attributes:
        name: name of the ranking.
        source: where it is explained.
        proxies: what is needed: nothing.
    """

    name: str
    source: str
    proxies: tuple[str, ...] = ()

    def fits(self, space: SearchSpace[Arch]) -> bool:
        """Tell that it can be learned in any space."""
        del space
        return True

    def columns(self, given: Sequence[str]) -> list[str] | None:
        """Take every column that is given."""
        return list(given)

    def predict(
        self,
        space: SearchSpace[Arch],
        columns: Mapping[str, FloatArray],
        archs: Sequence[Arch],
        labelled: npt.NDArray[np.intp],
        accuracies: npt.ArrayLike,
        seed: int,
        agreement: Mapping[str, float] | None = None,
        elsewhere: Sequence[Labelled[Any]] = (),
    ) -> FloatArray:
        """Give the (n,) means of `learn_from`, whose order is that of the accuracies."""
        from hwnas.study.accuracy_learning import learn_from
        from hwnas.study.sample import Sample

        sample = Sample(space, archs, columns, agreement)
        return learn_from(sample, labelled, accuracies, elsewhere=elsewhere, seed=seed).means


MODEL_RECIPES: Mapping[str, ModelRecipe | AccuracyRecipe] = {
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
        AccuracyRecipe("hwnas-model", "hwnas.study.accuracy_learning"),
    )
}
"""The learned rankings by name."""
