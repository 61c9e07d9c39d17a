"""Accuracies of networks of a space from those of a few: `hwnas-model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas.ranking.accuracy_model import Accuracies, learn_accuracies
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.strategies.features import input_groups
from hwnas.study.stability import STABLE
from hwnas.typing import Arch, FloatArray, SearchSpace

BEGINNING = "hwnas-any"
"""Ready-made score that is believed before there is a label."""


def learn_from(
    space: SearchSpace[Arch],
    archs: Sequence[Arch],
    columns: Mapping[str, FloatArray],
    labelled: npt.ArrayLike,
    accuracies: npt.ArrayLike,
    *,
    score: Recipe = RECIPES[BEGINNING],
    agreement: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Accuracies:
    """Learn from some architectures the distribution of the accuracies of all.

    It learns from proxies, choices and the paths of the graphs, whatever of these there is.

    Args:
        space: search space.
        archs: `(n,)` architectures.
        columns: `(n,)` raw scores by the name of the proxy; ranks are taken within these n
            architectures, so that they should be many, drawn from the space.
        labelled: `(s,)` indices of those that are learned from.
        accuracies: `(s,)` their accuracies in percent.
        score: what is believed before; those of its proxies that there are columns of.
        agreement: how alike two seeds rank by the name of the proxy. Those that are known to rank
            at random, below `STABLE`, are no inputs, and a reliable score is weighed by it.
        seed: seed of the trees.

    Raises:
        InvalidValueError: there are fewer than two labels, or one is missing.
    """
    alike = agreement or {}
    inputs = {n: c for n, c in columns.items() if not alike.get(n, 1.0) < STABLE}
    before = beginning(columns, score, agreement)
    groups = input_groups(space, archs, inputs)
    return learn_accuracies(groups, before, labelled, accuracies, seed=seed)


def beginning(
    columns: Mapping[str, FloatArray], score: Recipe, agreement: Mapping[str, float] | None
) -> FloatArray | None:
    """Give the `(n,)` ready-made scores by what there is of their proxies; None for nothing."""
    there = [name for name, values in columns.items() if not np.isnan(values).all()]
    recipe = score.restricted_to(there)
    if not recipe.proxies:
        return None
    if agreement is not None:
        recipe = recipe.weighed_by({n: agreement.get(n, np.nan) for n in recipe.needed})
    return recipe.in_population(np.column_stack([columns[n] for n in recipe.proxies]))
