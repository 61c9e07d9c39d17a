"""How well scores of a reduced setting rank the networks of a space as those of the full one do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.measure.endless import ENDLESS, network_name, once
from hwnas.measure.in_child import first_line
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import EndlessError, Limits
from hwnas.proxies import make_proxies
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.recipes import RECIPES
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.stability import scores_of
from hwnas.tasks.task import Task
from hwnas.typing import Arch, FloatArray, SearchSpace

SAMPLE = 16
"""Networks that are scored in both settings."""
_TRIED = 8
"""Networks that are tried until one can be counted in both settings."""


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
    insist_on_smaller(setup, options.get("limits"))
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


def insist_on_smaller(setup: EvaluationSetup[Any], limits: Limits | None = None) -> None:
    """Insist that a reduction, where there is one, makes networks cheaper.

    The first network that can be counted tells.

    Args:
        setup: space, task and reduction.
        limits: what counting one network may take, in a child process; None counts in this one.

    Raises:
        InvalidValueError: it does not, e.g. since each network resizes its images, or none of
            several networks can be counted; the first reason is named.
    """
    if setup.reduced is None:
        return
    small, full = _counted(setup, (setup.reduced.task(setup.task), setup.task), limits)
    if not small < full:
        raise InvalidValueError(
            f"`reduced` must make networks cheaper, but one of {setup.space.name} takes "
            f"{small:,.0f} multiply-accumulates with it and {full:,.0f} without: its networks "
            f"choose the size of their images themselves."
        )


def _counted(
    setup: EvaluationSetup[Any], tasks: Sequence[Task], limits: Limits | None
) -> list[float]:
    """Count one network in each setting."""
    reasons: list[str] = []
    endless = 0
    for arch in reference_sample(setup.space, _TRIED, setup.seed):
        given = (setup.space, tasks, arch)
        try:
            if limits is None:
                return _macs(*given)
            key = setup.space.canonical_key(arch)
            with once(network_name(setup.space, key, setup.task), limits):
                return child_with(limits).call(_macs, *given)
        except Exception as error:  # whatever the user's network raises
            reasons.append(f"{arch}: {first_line(error)}")
            endless += isinstance(error, EndlessError)
        if endless == ENDLESS:
            break
    reason = reasons[0] if reasons else "no architecture that was drawn is valid"
    raise InvalidValueError(
        f"`reduced` must make networks cheaper, but none of {setup.space.name} could be counted in "
        f"both settings: {reason}"
    )


def _macs(space: SearchSpace[Arch], tasks: Sequence[Task], arch: Arch) -> list[float]:
    return [float(CounterCost(space, "macs", task).predict([arch])[0]) for task in tasks]


def _columns(scores: Mapping[str, FloatArray], names: Sequence[str]) -> FloatArray:
    return np.stack([scores[name] for name in names], axis=1)
