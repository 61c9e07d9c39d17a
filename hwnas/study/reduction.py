"""How well scores of a reduced setting rank the networks of a space as those of the full one do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.proxies import make_proxies
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.recipes import RECIPES
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.stability import scores_of
from hwnas.typing import FloatArray

SAMPLE = 16
"""Networks that are scored in both settings."""


def full_agreement(
    setup: EvaluationSetup[Any],
    names: Sequence[str],
    *,
    size: int = SAMPLE,
    **options: Unpack[EvaluatorOptions],
) -> dict[str, float]:
    """Correlate the ranks of the reduced and of the full setting, of the same networks and seed.

    The networks are the first ones of the space's reference sample. With 16 of them the standard
    error of a coefficient near 0 is .26, near .9 about .06.

    Args:
        setup: space, task, batch and seed, with a reduction.
        names: proxies, and ready-made scores, which come with each of their proxies.
        size: networks.
        options: how networks are scored.

    Returns:
        Spearman's coefficient by name; NaN where a setting ranks all networks alike, or has no
        value.

    Raises:
        InvalidValueError: the space's networks are not smaller in the reduced setting.
    """
    insist_on_smaller(setup)
    networks = reference_sample(setup.space, size, setup.seed)
    recipes = [RECIPES[name] for name in names if name in RECIPES]
    wanted = [n for name in names for n in (RECIPES[name].proxies if name in RECIPES else (name,))]
    proxies = make_proxies(list(dict.fromkeys(wanted)))
    small, full = (
        scores_of(each.proxies(proxies), networks, **options)
        for each in (setup, replace(setup, reduced=None))
    )
    for recipe in recipes:
        for found in (small, full):
            found[recipe.name] = recipe.in_population(_columns(found, recipe.proxies))
    ordered = [*(recipe.name for recipe in recipes), *(proxy.name for proxy in proxies)]
    return {name: seed_stability(full[name], small[name]) for name in ordered}


def insist_on_smaller(setup: EvaluationSetup[Any]) -> None:
    """Insist that a reduction, where there is one, makes networks cheaper.

    Raises:
        InvalidValueError: it does not, e.g. since each network resizes its images.
    """
    if setup.reduced is None:
        return
    network = reference_sample(setup.space, 1, setup.seed)
    tasks = (setup.reduced.task(setup.task), setup.task)
    small, full = (CounterCost(setup.space, "macs", t).predict(network)[0] for t in tasks)
    if not small < full:
        raise InvalidValueError(
            f"`reduced` must make networks cheaper, but one of {setup.space.name} takes "
            f"{small:,.0f} multiply-accumulates with it and {full:,.0f} without: its networks "
            f"choose the size of their images themselves."
        )


def _columns(scores: Mapping[str, FloatArray], names: Sequence[str]) -> FloatArray:
    return np.stack([scores[name] for name in names], axis=1)
