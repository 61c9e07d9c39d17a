"""From an Optuna study to a Pareto set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.pareto_set import Status
from hwnas.pareto.provenance import describe_environment, plain
from hwnas.pareto.uncertainty import predicted_objectives, with_neighbours
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.space_text import written_space
from hwnas.typing import SearchSpace
from hwnas_optuna.describing import OBJECTIVES, ORIGIN, SPACE
from hwnas_optuna.objective import ARCH, ERRORS, KEY, RESULTS, reason
from hwnas_optuna.participant import standing
from hwnas_optuna.trials import TrialReader, suggested

_STATUS: Mapping[TrialState, Status] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "infeasible",
    TrialState.FAIL: "failed",
}


def pareto_set_from_study(
    study: optuna.Study,
    provenance: Mapping[str, Any] | None = None,
    space: SearchSpace[Any] | None = None,
) -> ParetoSet:
    """Make the Pareto set of the finished trials of a study.

    Args:
        study: the study; it may still be running.
        provenance: what is to be kept beside versions, host, the study's name, and what its
            objective described: task, seed, costs with their devices, constraints.
        space: search space of trials that no `HardwareAwareObjective` ran: their parameters say
            their architectures. Parameters that are not the space's are attributes.

    Returns:
        The set, one member a canonical key; raw values of proxies and costs are attributes, and so
        are the standard deviations of predicted costs, see `hwnas.pareto.uncertainty`. Where trials
        made no architecture, `refused` in its provenance is their number and `refusal` the first
        reason.

    Raises:
        InvalidValueError: a completed trial has no architecture, or the study is another library's.
    """
    if not isinstance(study, optuna.Study):
        kind = type(study)
        raise InvalidValueError(
            f"`study` must be a study of Optuna, but got a {kind.__module__}.{kind.__qualname__}: "
            f"give its values to ParetoSet.from_values."
        )
    trials = [t for t in standing(study.get_trials(deepcopy=False)) if t.state.is_finished()]
    refusals = [
        t.user_attrs[ERRORS]["architecture"]
        for t in trials
        if t.state is TrialState.PRUNED and "architecture" in t.user_attrs.get(ERRORS, {})
    ]
    rows = list(_rows(trials, space))
    objectives = _objectives(study)
    missing = [float("nan")] * len(objectives)
    unsaid = "unknown" if space is None else written_space(space)
    front = ParetoSet.from_values(
        [row.arch for row in rows],
        [row.key for row in rows],
        [t.values if t.state is TrialState.COMPLETE else missing for _, _, t, _ in rows],
        objectives,
        space=study.user_attrs.get(SPACE, unsaid),
        statuses=[_status(row.trial) for row in rows],
        attributes=[_attributes(row) for row in rows],
        provenance={
            **describe_environment(),
            **study.user_attrs.get(ORIGIN, _task_of(space)),
            "study": study.study_name,
            **({"refused": len(refusals), "refusal": refusals[0]} if refusals else {}),
            **(provenance or {}),
        },
    )
    return with_neighbours(front, [n for n in predicted_objectives(front) if _all_know(front, n)])


def _task_of(space: SearchSpace[Any] | None) -> dict[str, Any]:
    """Say what networks are for, where the space builds them for one task alone."""
    if isinstance(space, FunctionSpace):
        return {"dataset": plain(space.default_task.as_dict())}
    return {}


class _Row(NamedTuple):
    """What a trial evaluated: architecture, canonical key, and parameters of others."""

    arch: str
    key: str
    trial: FrozenTrial
    others: Mapping[str, Any]


def _rows(trials: Sequence[FrozenTrial], space: SearchSpace[Any] | None) -> Iterator[_Row]:
    """Yield what each trial evaluated, without those that ended before they had an architecture."""
    reader = None if space is None else TrialReader(space)
    for trial in trials:
        if ARCH in trial.user_attrs:
            yield _Row(trial.user_attrs[ARCH], trial.user_attrs[KEY], trial, {})
        elif reader is not None and (arch := reader.decode(suggested(trial))) is not None:
            ours = reader.space.encode(arch)
            others = {n: value for n, value in suggested(trial).items() if n not in ours}
            yield _Row(str(arch), reader.space.canonical_key(arch), trial, others)
        elif trial.state is TrialState.COMPLETE:
            raise InvalidValueError(_foreign(trial, space))


def _foreign(trial: FrozenTrial, space: SearchSpace[Any] | None) -> str:
    """Say that a trial has no architecture."""
    if space is None:
        return (
            f"`study` must hold trials of a HardwareAwareObjective, but trial {trial.number} has "
            f"no architecture: give the `space` of its parameters, on the command line as "
            f"--space MODULE:FUNCTION:input=3x32x32,classes=10."
        )
    try:
        space.decode(suggested(trial))
        why = ""
    except Exception as error:  # whatever a space raises
        why = f", for {reason(error)}"
    return (
        f"`space` must be that of the study's parameters, but {space.name} makes no architecture "
        f"of those of trial {trial.number}, {trial.params}{why}"
    )


def _all_know(front: ParetoSet, name: str) -> bool:
    """Tell whether all members have the deviation of a cost; those of old trials have not."""
    return all(f"{name}_std" in member.attributes for member in front.members)


def _status(trial: FrozenTrial) -> Status:
    if any(value > 0 for value in trial.constraints.values()):
        return "infeasible"
    # Only who reports on the way is stopped by a pruner; an objective of ours never does.
    stopped = trial.state is TrialState.PRUNED and bool(trial.intermediate_values)
    return "pruned" if stopped else _STATUS[trial.state]


def _attributes(row: _Row) -> dict[str, Any]:
    known = row.trial.user_attrs
    return {
        **row.others,
        "trial": row.trial.number,
        **known.get(RESULTS, {}),
        **({"errors": known[ERRORS]} if ERRORS in known else {}),
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
