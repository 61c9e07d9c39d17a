"""The loop of `hwnas search`: batches of trials that survive a kill and repeat exactly.

Trials are asked for in batches of fixed size, all of a batch before any of it is evaluated, and
told in the order of their numbers. What a sampler sees therefore depends neither on the number
of worker processes nor on when a process was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from hwnas.errors import InvalidValueError
from hwnas.evaluation import Evaluation, Evaluator
from hwnas.pareto import ParetoSet
from hwnas.search import Folder, SearchSettings
from hwnas.typing import Arch
from hwnas_optuna.hardware_aware import SpaceExhausted
from hwnas_optuna.objective import HardwareAwareObjective
from hwnas_optuna.pareto import pareto_set_from_study
from hwnas_optuna.sampler_names import make_sampler
from hwnas_optuna.samplers import POPULATION

SETTINGS = "hwnas:settings"
"""User attribute of a study: what it was started with, as JSON text."""


def open_study(
    evaluator: Evaluator[Arch],
    *,
    storage: str | None,
    name: str,
    sampler: str,
    seed: int,
    settings: Mapping[str, Any],
) -> optuna.Study:
    """Create a study, or open it to go on with it.

    Args:
        evaluator: objectives and space.
        storage: Optuna storage URL, or None for memory.
        name: study name.
        sampler: one of `hwnas_optuna.sampler_names.sampler_names`.
        seed: user seed.
        settings: JSON-serialisable settings that must be the same to go on.

    Raises:
        UnknownNameError: no such sampler.
        InvalidValueError: the study exists with other settings, or was not made by hwnas.
    """
    made = make_sampler(sampler, evaluator, seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = HardwareAwareObjective(evaluator)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            sampler=made,
            directions=objective.directions,
            load_if_exists=True,
        )
    except (ValueError, ImportError, SQLAlchemyError) as error:
        raise _storage_error(storage, error) from error
    text = json.dumps({**settings, "sampler": sampler, "seed": seed}, sort_keys=True)
    stored = study.user_attrs.get(SETTINGS)
    if stored is None and not study.trials:
        objective.describe(study)
        study.set_user_attr(SETTINGS, text)
    elif stored != text:
        raise InvalidValueError(
            f"Study {name!r} must be continued with the settings it was started with, but "
            f"{_difference(stored, text)}: use those, or another folder."
        )
    return study


def run(
    study: optuna.Study,
    evaluator: Evaluator[Arch],
    n_trials: int,
    *,
    batch: int = POPULATION,
    after_batch: Callable[[Sequence[FrozenTrial]], None] | None = None,
) -> None:
    """Run trials until the study has `n_trials`, going on with what an earlier run left.

    Args:
        study: from `open_study`; no other process may run it at the same time.
        evaluator: objectives, constraints, cache, worker processes.
        n_trials: trials that the study has in the end, those of earlier runs included; fewer if
            the space is exhausted before.
        batch: trials asked for before any of them is evaluated.
        after_batch: called with all trials after each batch.
    """
    objective = HardwareAwareObjective(evaluator)
    while True:
        trials = study.get_trials(deepcopy=False)
        unfinished = [t for t in trials if not t.state.is_finished()]
        start = len(trials) - len(trials) % batch
        if not unfinished and len(trials) >= n_trials:
            return
        # A killed run may have left a batch half asked: ask for the rest before evaluating any.
        complete = len(trials) % batch == 0 and bool(unfinished)
        end = len(trials) if complete else max(min(start + batch, n_trials), len(trials))
        asked = [optuna.Trial(study, t._trial_id) for t in unfinished]
        asked += [study.ask() for _ in range(end - len(trials))]
        chosen = _choose(study, objective, asked)
        for trial, evaluation in zip(
            chosen, evaluator.evaluate(list(chosen.values())), strict=True
        ):
            _tell(study, objective, trial, evaluation)
        if after_batch is not None:
            after_batch(study.get_trials(deepcopy=False))
        if len(chosen) < len(asked):
            return


def _choose(
    study: optuna.Study, objective: HardwareAwareObjective[Arch], trials: Sequence[optuna.Trial]
) -> dict[optuna.Trial, Arch]:
    """Suggest architectures; trials for which none is left are pruned."""
    chosen = {}
    for trial in trials:
        try:
            chosen[trial] = objective.arch(trial)
        except SpaceExhausted:
            study.tell(trial, state=TrialState.PRUNED)
    return chosen


def _tell(
    study: optuna.Study,
    objective: HardwareAwareObjective[Arch],
    trial: optuna.Trial,
    evaluation: Evaluation[Arch],
) -> None:
    try:
        values = objective.record(trial, evaluation)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        return
    if evaluation.status == "failed":
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, values)


def _storage_error(storage: str | None, error: Exception) -> InvalidValueError:
    reason = str(error).strip().partition("\n")[0]
    return InvalidValueError(
        f"`storage` must be an Optuna storage that can be opened, e.g. 'sqlite:///study.db', "
        f"but got {storage!r} ({reason})."
    )


def _difference(stored: str | None, now: str) -> str:
    if stored is None:
        return "it was not made by hwnas search"
    old, new = json.loads(stored), json.loads(now)
    return ", ".join(
        f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )


class OptunaHost:
    """Optuna as the host of `hwnas.search`."""

    def search(
        self,
        evaluator: Evaluator[Any],
        settings: SearchSettings,
        folder: Folder,
        provenance: dict[str, Any],
    ) -> ParetoSet:
        """Run or go on with a study until it has the trials of the settings."""
        study = open_study(
            evaluator,
            storage=folder.url,
            name=folder.study,
            sampler=settings.sampler,
            seed=settings.seed,
            settings=settings.identity(),
        )
        run(study, evaluator, settings.trials)
        return pareto_set_from_study(study, {**provenance, "storage": folder.url})

    def from_study(
        self, study: optuna.Study, provenance: Mapping[str, Any] | None = None
    ) -> ParetoSet:
        """Make the Pareto set of a study; see `pareto_set_from_study`."""
        return pareto_set_from_study(study, provenance)

    def load(self, storage: str, study: str) -> ParetoSet:
        """Make the Pareto set of a stored study.

        Raises:
            InvalidValueError: the storage cannot be opened or has no such study.
        """
        try:
            loaded = optuna.load_study(storage=storage, study_name=study)
        except KeyError:
            raise InvalidValueError(
                f"`study` must be in the storage, but {storage} has no study {study!r}."
            ) from None
        except (ValueError, ImportError, SQLAlchemyError) as error:
            raise _storage_error(storage, error) from error
        settings = json.loads(loaded.user_attrs.get(SETTINGS, "{}"))
        return pareto_set_from_study(
            loaded, {"storage": storage, "seed": settings.get("seed", 0), "settings": settings}
        )
