"""The search problem that an evaluator poses: what of it is cheap to know beforehand."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.strategies.problem import Knowledge, Measure, Problem
from hwnas.study.bounds import Bounds
from hwnas.typing import Arch, FloatArray


def problem_of(evaluator: Evaluator[Arch]) -> Problem[Arch]:
    """Make the problem of a search that runs an evaluator.

    Costs that a table or a predictor gives for the whole space at once are known losses; counters
    are not, since in most spaces they build each network, but like these they are bounds that are
    checked before an architecture is proposed. Predictors that look at networks are neither. Where
    a table has a part of the space, nothing else is proposed, and a warning says so.

    Raises:
        InvalidValueError: no architecture is in every table.
    """
    known = {
        index: _loss(objective)
        for index, objective in enumerate(evaluator.objectives)
        if _is_tabulated(objective)
    }
    bounds, candidates = Bounds(evaluator), covered(evaluator)
    if candidates is not None:
        warnings.warn(
            f"The costs are known of {len(candidates):,} architectures of {evaluator.space.name}: "
            f"only these are proposed.",
            stacklevel=2,
        )
    knowledge = Knowledge(known_losses=known)
    if not bounds:
        return Problem(evaluator.space, None, knowledge, candidates)
    return Problem(evaluator.space, bounds, knowledge, candidates, bounds.violations)


def covered(evaluator: Evaluator[Arch]) -> Sequence[Arch] | None:
    """Give the architectures that every table of a part of the space has; None if there is none.

    Raises:
        InvalidValueError: no architecture is in every table.
    """
    bounded = (constraint.objective for constraint in evaluator.constraints)
    sources = [
        getattr(objective, "source", None) for objective in (*evaluator.objectives, *bounded)
    ]
    costs = [source.cost for source in sources if isinstance(source, CostValues)]
    tables = [covers for cost in costs if (covers := getattr(cost, "covers", None)) is not None]
    if not tables:
        return None
    key_of, name = evaluator.space.canonical_key, evaluator.space.name
    known = set.intersection(*({key_of(arch) for arch in table} for table in tables))
    if not known:
        raise InvalidValueError(
            f"`costs` must have architectures of {name} in common, but no one is in all of their "
            f"tables."
        )
    return [arch for arch in tables[0] if key_of(arch) in known]


def _is_tabulated(objective: ValueObjective[Arch]) -> bool:
    source = objective.source
    return (
        isinstance(source, CostValues)
        and source.effort is Effort.LOOKUP
        and not isinstance(source.cost, CounterCost)
        and objective.combine is None
    )


def _loss(objective: ValueObjective[Arch]) -> Measure[Arch]:
    source, sign = objective.source, 1.0 if objective.direction == "minimize" else -1.0
    assert isinstance(source, CostValues)

    def losses(archs: Sequence[Arch]) -> FloatArray:
        return sign * np.asarray(source.cost.predict(archs), dtype=np.float64)

    return losses
