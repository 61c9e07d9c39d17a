"""A look at a few networks before a study is made, so that one that cannot begin is not made."""

from __future__ import annotations

from typing import Any

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.study.configuration import reference_sample

_PROBES = 8


def insist_on_evaluable(evaluator: Evaluator[Any], cache: ResultCache, seed: int) -> None:
    """Insist that the space builds a network for the task which proxies and counters can evaluate.

    The first network for which they have values ends it. Tables, which may know few architectures,
    and measurements, which take long, are not asked.

    Args:
        evaluator: of the study.
        cache: where values are kept.
        seed: user seed.

    Raises:
        InvalidValueError: none of several networks could be evaluated; the first reason is named.
    """
    space = evaluator.space
    objectives = {o.name: o for o in evaluator.objectives if _builds(o)}
    if not objectives:
        return
    narrow = Evaluator(space, list(objectives.values()), cache=cache, require_valid=False)
    reasons: list[str] = []
    for arch in reference_sample(space, _PROBES, seed):
        errors = narrow(arch).errors
        if not errors:
            return
        reasons += [f"{name}: {reason}" for name, reason in errors.items()]
    if reasons:
        raise InvalidValueError(
            f"`space` must give networks that can be evaluated for this task, but none of "
            f"{_PROBES} of {space.name} could be: {reasons[0]}"
        )


def _builds(objective: ValueObjective[Any]) -> bool:
    source = objective.source
    counts = isinstance(source, CostValues) and isinstance(source.cost, CounterCost)
    return counts or source.effort is Effort.SCORE
