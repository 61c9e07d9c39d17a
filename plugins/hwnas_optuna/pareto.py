"""From an Optuna study to a Pareto set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.pareto_set import Status
from hwnas.pareto.provenance import describe_environment
from hwnas.pareto.uncertainty import predicted_objectives, with_neighbours
from hwnas_optuna.objective import ARCH, ERRORS, KEY, OBJECTIVES, ORIGIN, RESULTS
from hwnas_optuna.participant import standing

_STATUS: Mapping[TrialState, Status] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "infeasible",
    TrialState.FAIL: "failed",
}


def pareto_set_from_study(
    study: optuna.Study, provenance: Mapping[str, Any] | None = None
) -> ParetoSet:
    """Make the Pareto set of the finished trials of a study that ran a `HardwareAwareObjective`.

    Args:
        study: the study; it may still be running.
        provenance: what is to be kept beside versions, host, the study's name, and what its
            objective described: task, seed, costs with their devices, constraints.

    Returns:
        The set, one member a canonical key; raw values of proxies and costs are attributes, and so
        are the standard deviations of predicted costs, see `hwnas.pareto.uncertainty`. Where trials
        made no architecture, `refused` in its provenance is their number and `refusal` the first
        reason.

    Raises:
        InvalidValueError: a finished trial has no architecture, so another objective made it, or
            the study is another library's.
    """
    if not isinstance(study, optuna.Study):
        kind = type(study)
        raise InvalidValueError(
            f"`study` must be a study of Optuna, but got a {kind.__module__}.{kind.__qualname__}: "
            f"give its values to ParetoSet.from_values."
        )
    trials = [t for t in standing(study.get_trials(deepcopy=False)) if t.state.is_finished()]
    foreign = [
        t.number for t in trials if t.state is TrialState.COMPLETE and ARCH not in t.user_attrs
    ]
    if foreign:
        raise InvalidValueError(
            f"`study` must hold trials of a HardwareAwareObjective, but trial {foreign[0]} has no "
            f"architecture."
        )
    refusals = [
        t.user_attrs[ERRORS]["architecture"]
        for t in trials
        if t.state is TrialState.PRUNED and "architecture" in t.user_attrs.get(ERRORS, {})
    ]
    trials = [t for t in trials if ARCH in t.user_attrs]
    objectives = _objectives(study)
    missing = [float("nan")] * len(objectives)
    front = ParetoSet.from_values(
        [t.user_attrs[ARCH] for t in trials],
        [t.user_attrs[KEY] for t in trials],
        [t.values if t.state is TrialState.COMPLETE else missing for t in trials],
        objectives,
        space=study.user_attrs.get("hwnas:space", "unknown"),
        statuses=[_status(t) for t in trials],
        attributes=[_attributes(t) for t in trials],
        provenance={
            **describe_environment(),
            **study.user_attrs.get(ORIGIN, {}),
            "study": study.study_name,
            **({"refused": len(refusals), "refusal": refusals[0]} if refusals else {}),
            **(provenance or {}),
        },
    )
    return with_neighbours(front, [n for n in predicted_objectives(front) if _all_know(front, n)])


def _all_know(front: ParetoSet, name: str) -> bool:
    """Tell whether all members have the deviation of a cost; those of old trials have not."""
    return all(f"{name}_std" in member.attributes for member in front.members)


def _status(trial: FrozenTrial) -> Status:
    violated = any(value > 0 for value in trial.constraints.values())
    return "infeasible" if violated else _STATUS[trial.state]


def _attributes(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        **trial.user_attrs.get(RESULTS, {}),
        **({"errors": trial.user_attrs[ERRORS]} if ERRORS in trial.user_attrs else {}),
    }


def _objectives(study: optuna.Study) -> list[ObjectiveInfo]:
    described = study.user_attrs.get(OBJECTIVES)
    if described is not None:
        return [ObjectiveInfo(**entry) for entry in described]
    names = study.metric_names or [f"objective_{i}" for i in range(len(study.directions))]
    return [
        ObjectiveInfo(
            name, "", "minimize" if d is optuna.study.StudyDirection.MINIMIZE else "maximize"
        )
        for name, d in zip(names, study.directions, strict=True)
    ]
