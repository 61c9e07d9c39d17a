"""What a study says about its values: names, units, directions, and what they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import optuna

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.origin import difference, origin
from hwnas.pareto import ObjectiveInfo
from hwnas.process_state import unwarned
from hwnas.spaces.space_text import written_space

OBJECTIVES = "hwnas:objectives"
"""User attribute of a study: name, unit and direction of each objective."""
ORIGIN = "hwnas:origin"
"""User attribute of a study: what its values depend on, as `hwnas.evaluation.origin` gives it."""
SPACE = "hwnas:space"
"""User attribute of a study: text of the search space."""


def describe(
    study: optuna.Study, evaluator: Evaluator[Any], objectives: Sequence[ObjectiveInfo]
) -> None:
    """Write what the values of a study mean, for fronts, plots and the dashboard.

    Args:
        study: the study.
        evaluator: what its trials are evaluated by.
        objectives: `(m,)` meaning of its values.

    Raises:
        InvalidValueError: it has other directions, or finished trials of another description.
    """
    directions = [objective.direction for objective in objectives]
    there = [direction.name.lower() for direction in study.directions]
    if there != directions:
        raise InvalidValueError(
            f"`study` must have the directions {', '.join(directions)} of "
            f"{', '.join(o.name for o in objectives)}, but has {', '.join(there)}: make it with "
            f"these, or give `objectives` where its values are others."
        )
    described = {
        OBJECTIVES: [asdict(objective) for objective in objectives],
        ORIGIN: origin(evaluator),
        SPACE: written_space(evaluator.space),
    }
    stored = study.user_attrs
    if OBJECTIVES in stored and any(t.state.is_finished() for t in study.get_trials(False)):
        found = difference(_decisive(stored), _decisive(described))
        if found:
            raise InvalidValueError(
                f"Study {study.study_name!r} must be continued with what its finished trials were "
                f"evaluated by, but {found}: use that, or another study."
            )
    # Experimental since Optuna 3.2 and unchanged; plots and the dashboard show the names.
    with unwarned(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names([objective.name for objective in objectives])
    for key, value in described.items():
        study.set_user_attr(key, value)


def _decisive(described: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a study says that its values depend on."""
    return {
        "objectives": described[OBJECTIVES],
        "space": described.get(SPACE),
        **described.get(ORIGIN, {}),
    }
