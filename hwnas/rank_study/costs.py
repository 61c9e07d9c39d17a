"""Costs of the architectures that are ranked, each of a user's network told in a child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator, EvaluatorOptions
from hwnas.evaluation.objectives import cost_objective
from hwnas.typing import Arch, CostModel, FloatArray, SearchSpace


def costs_of(
    space: SearchSpace[Arch],
    cost: CostModel[Arch],
    archs: Sequence[Arch],
    note: Callable[[str], None],
    **options: Unpack[EvaluatorOptions],
) -> FloatArray:
    """Predict costs: all at once, or where networks have limits one by one, in child processes.

    Args:
        space: search space.
        cost: the cost.
        archs: `(n,)` architectures.
        note: is told how many have none because of a failure, with the reason of one.
        options: how they are evaluated.

    Returns:
        `(n,)` costs in the unit of the cost; NaN where there is none.

    Raises:
        InvalidValueError: no architecture has one.
    """
    reasons: list[str] = []
    if options.get("limits") is None:
        found = np.asarray(cost.predict(archs), dtype=np.float64)
    else:
        objective = cost_objective(space, cost)
        rows = Evaluator(space, [objective], require_valid=False, **options).evaluate(archs)
        found = np.array([row.values.get(objective.name, np.nan) for row in rows])
        reasons = [str(reason) for row in rows for reason in row.errors.values()]
    if not np.isfinite(found).any():
        why = f", e.g.: {reasons[0]}" if reasons else "."
        raise InvalidValueError(
            f"`cost` must be known of the architectures that are ranked, but {cost.metric} has "
            f"none of the {len(found)}{why}"
        )
    if reasons:
        note(f"{len(reasons)} architectures have no {cost.metric}, e.g.: {reasons[0]}")
    return found
