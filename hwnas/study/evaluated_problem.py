"""The search problem that an evaluator poses: what of it is cheap to know beforehand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.strategies.problem import BoolArray, Knowledge, Measure, Problem
from hwnas.typing import Arch, Constraint, FloatArray


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
    bounds = [c for c in evaluator.constraints if _is_cheap(c)]

    def feasible(archs: Sequence[Arch]) -> BoolArray:
        limits = evaluator.limits
        return np.array([all(_holds(bound, arch, limits) for bound in bounds) for arch in archs])

    knowledge, candidates = Knowledge(known_losses=known), _covered(evaluator)
    return Problem(evaluator.space, feasible if bounds else None, knowledge, candidates)


def _covered(evaluator: Evaluator[Arch]) -> Sequence[Arch] | None:
    """Give the architectures that every table of a part of the space has; None if there is none."""
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
    warnings.warn(
        f"The costs are known of {len(known):,} architectures of {name}: only these are proposed.",
        stacklevel=3,
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


def _is_cheap(constraint: Constraint[Arch]) -> bool:
    objective = constraint.objective
    return isinstance(objective, ValueObjective) and objective.source.effort is Effort.LOOKUP


def _holds(bound: Constraint[Arch], arch: Arch, limits: Limits | None) -> bool:
    """Check a bound; an architecture that cannot be built is not proposed."""
    value: Callable[[Arch], float] = bound.objective
    if limits is not None:
        value = partial(child_with(limits).call, value)
    try:
        return bool(bound.violation(value(arch)) <= 0)
    except Exception:
        return False


def _loss(objective: ValueObjective[Arch]) -> Measure[Arch]:
    source, sign = objective.source, 1.0 if objective.direction == "minimize" else -1.0
    assert isinstance(source, CostValues)

    def losses(archs: Sequence[Arch]) -> FloatArray:
        return sign * np.asarray(source.cost.predict(archs), dtype=np.float64)

    return losses
