"""Optuna as the host of `hwnas search` and `hwnas worker`: studies that are made and joined."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.files.passwords import without_passwords
from hwnas.pareto import ParetoSet
from hwnas.study.hosts import Folder, Watch
from hwnas.study.requirements import check_costs, requirements
from hwnas.study.settings import SearchSettings, read_stored
from hwnas.typing import Arch, SearchSpace
from hwnas_optuna.artifacts import attach
from hwnas_optuna.describing import SPACE
from hwnas_optuna.loop import run, work
from hwnas_optuna.objective import ARCH, ERRORS, HardwareAwareObjective
from hwnas_optuna.pareto import pareto_set_from_study
from hwnas_optuna.participant import standing
from hwnas_optuna.sampler_names import insist_on_sampler, make_sampler, sampler_table
from hwnas_optuna.storage import (
    insist_on_storage,
    made_aside,
    open_storage,
    reading,
    storage_error,
)

SETTINGS, TRIALS, REQUIREMENTS = "hwnas:settings", "hwnas:trials", "hwnas:requirements"
"""User attributes of a study: what it was started with, how many trials it has in the end, and
what a worker must have; the first and the last as JSON text."""


def open_study(
    evaluator: Evaluator[Arch],
    *,
    storage: str | None,
    name: str,
    sampler: str,
    seed: int,
    settings: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
) -> optuna.Study:
    """Create a study, or open it to go on with it.

    A study has its settings only once everything else that identifies it is written, and a file
    appears when its study is whole. A study that a killed process left without settings is
    completed, as long as no trial of it is finished.

    Args:
        evaluator: objectives and space.
        storage: as in `hwnas_optuna.storage.open_storage`; None for memory.
        name: study name.
        sampler: one of `hwnas_optuna.sampler_names.sampler_names`.
        seed: user seed.
        settings: JSON-serialisable settings that must be the same to go on.
        attributes: user attributes of the study, which are those of this process from now on.

    Raises:
        UnknownNameError: no such sampler.
        InvalidValueError: the study exists with other settings, or was not made by hwnas.
    """
    made = make_sampler(sampler, evaluator, seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = HardwareAwareObjective(evaluator)
    text = json.dumps({**settings, "sampler": sampler, "seed": seed}, sort_keys=True)

    def opened(where: str | None) -> optuna.Study:
        study = optuna.create_study(
            storage=open_storage(where),
            study_name=name,
            sampler=made,
            directions=objective.directions,
            load_if_exists=True,
        )
        stored = study.user_attrs.get(SETTINGS)
        if stored is None:
            _insist_on_unused(study, objective, storage)
            objective.describe(study)
        elif stored != text:
            raise InvalidValueError(
                f"Study {name!r} must be continued with the settings it was started with, but "
                f"{_difference(stored, text)}: use those, or another folder."
            )
        elif REQUIREMENTS in (attributes or {}):
            _insist_on_one_kind(study, str((attributes or {})[REQUIREMENTS]))
        for key, value in (attributes or {}).items():
            if study.user_attrs.get(key) != value:
                study.set_user_attr(key, value)
        if stored is None:
            study.set_user_attr(SETTINGS, text)
        return study

    try:
        if storage is None:
            return opened(None)
        with made_aside(storage) as scratch:
            if scratch != storage:
                opened(scratch)
        return opened(storage)
    except HwnasError:
        raise
    except (ValueError, OSError, SQLAlchemyError) as error:
        raise storage_error(str(storage), error) from error


def _insist_on_unused(
    study: optuna.Study, objective: HardwareAwareObjective[Any], storage: str | None
) -> None:
    """Insist that a study without settings can become one of these objectives.

    Raises:
        InvalidValueError: it has finished trials, or other directions.
    """
    name, where = study.study_name, without_passwords(str(storage))
    trials = study.get_trials(deepcopy=False)
    if any(trial.state.is_finished() for trial in trials):
        ours = all(ARCH in t.user_attrs for t in trials if t.state is TrialState.COMPLETE)
        raise InvalidValueError(
            f"Study {name!r} must be continued with the settings it was started with, but it "
            + (
                f"was left without them: `hwnas pareto show {where} --study {name}` shows its "
                f"trials; name another `--study` to search on."
                if ours
                else "was not made by hwnas search: name another `--study`, or another folder."
            )
        )
    there = [direction.name.lower() for direction in study.directions]
    if there != list(objective.directions):
        raise InvalidValueError(
            f"Study {name!r} must have the directions {', '.join(objective.directions)}, but it "
            f"was left without settings and with {', '.join(there)}: name another `--study`, or "
            f"another folder."
        )


def _insist_on_one_kind(study: optuna.Study, now: str) -> None:
    """Insist that what finished trials measured is what this search measures."""
    if any(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)):
        stored = study.user_attrs.get(REQUIREMENTS)
        before = {} if stored is None else read_stored(stored, "requirements")
        check_costs(study.study_name, before, json.loads(now))


def _difference(stored: str, now: str) -> str:
    old, new = read_stored(stored, "settings"), json.loads(now)
    return ", ".join(
        f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )


def load_study(storage: str, name: str) -> optuna.Study:
    """Load a study that is there.

    Raises:
        InvalidValueError: the storage cannot be opened or has no such study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = open_storage(storage, create=False)
    try:
        return optuna.load_study(storage=opened, study_name=name)
    except KeyError:
        with reading(storage):
            names = optuna.get_all_study_names(opened)
        raise InvalidValueError(
            f"`study` must be in the storage, but {without_passwords(storage)} has no study "
            f"{name!r}, but {', '.join(map(repr, names)) or 'none at all'}."
        ) from None
    except Exception as error:
        raise storage_error(storage, error) from error


@dataclass(frozen=True)
class JoinedStudy:
    """A study of `hwnas search` that a worker has joined.

    Attributes:
        study: the study.
    """

    study: optuna.Study

    @property
    def settings(self) -> dict[str, Any]:
        """What the search was started with."""
        return read_stored(self.study.user_attrs[SETTINGS], "settings")

    @property
    def requirements(self) -> dict[str, Any]:
        """What a worker must have, as in `hwnas.study.requirements.requirements`."""
        return read_stored(self.study.user_attrs[REQUIREMENTS], "requirements")

    def work(
        self, evaluator: Evaluator[Any], name: str, batch: int, watch: Watch | None = None
    ) -> int:
        """Run trials until the study has enough of them; see `hwnas_optuna.loop.work`."""
        self.study.sampler = make_sampler(
            self.settings["sampler"], evaluator, self.settings["seed"]
        )

        def n_trials() -> int:
            return int(self.study.user_attrs[TRIALS])

        return work(self.study, evaluator, n_trials, name=name, batch=batch, watch=watch)


def _insist_on_a_result(study: optuna.Study) -> None:
    trials = study.get_trials(deepcopy=False)
    failed = [t for t in trials if ERRORS in t.user_attrs]
    if not failed or any(ARCH in t.user_attrs for t in trials if t not in failed):
        return
    reasons = Counter(next(iter(t.user_attrs[ERRORS].values())) for t in failed)
    [(reason, _)] = reasons.most_common(1)
    raise InvalidValueError(
        f"`search` must find networks that can be evaluated, but all {len(failed)} trials failed, "
        f"most often with: {reason}"
    )


def _ended_after(study: optuna.Study, wanted: int) -> dict[str, int]:
    """Give how many trials there are where these are fewer, since nothing is left to propose."""
    there = standing(study.get_trials(deepcopy=False))
    tried = sum(not t.user_attrs.keys().isdisjoint((ARCH, ERRORS)) for t in there)
    return {"ended_after": tried} if tried < wanted else {}


class OptunaHost:
    """Optuna as the host of `hwnas.study.search`."""

    def search(
        self,
        evaluator: Evaluator[Any],
        settings: SearchSettings,
        folder: Folder,
        provenance: dict[str, Any],
        watch: Watch | None = None,
        timeout: float | None = None,
    ) -> ParetoSet:
        """Run or go on with a study until it has the trials of the settings.

        Raises:
            InvalidValueError: all trials failed, or the storage does.
        """
        try:
            study = open_study(
                evaluator,
                storage=folder.url,
                name=folder.study,
                sampler=settings.sampler,
                seed=settings.seed,
                settings=settings.identity(),
                attributes={
                    REQUIREMENTS: json.dumps(requirements(evaluator)),
                    TRIALS: settings.trials,
                },
            )
            run(study, evaluator, settings.trials, watch=watch, timeout=timeout)
            _insist_on_a_result(study)
            place = {} if folder.url is None else {"storage": without_passwords(folder.url)}
            ended = _ended_after(study, settings.trials) if timeout is None else {}
            return pareto_set_from_study(study, {**provenance, **place, **ended})
        except (SQLAlchemyError, StorageInternalError) as error:  # e.g. a disk that is full by now
            raise storage_error(str(folder.url), error) from error

    def samplers(self) -> list[dict[str, str]]:
        """Say of each sampler what it is, the default first."""
        return sampler_table()

    def insist_on(self, settings: SearchSettings, folder: Folder) -> None:
        """Insist that the sampler exists and that the storage can be used, before anything is done.

        Raises:
            UnknownNameError: no such sampler.
            InvalidValueError: the storage cannot be opened or made.
        """
        insist_on_sampler(settings.sampler)
        if folder.storage is not None:
            insist_on_storage(folder.storage)

    def join(self, storage: str, study: str) -> JoinedStudy:
        """Join a study that `hwnas search` made.

        Raises:
            InvalidValueError: the storage cannot be opened, or has no such study of hwnas search.
        """
        loaded = load_study(storage, study)
        with reading(storage):
            missing = {SETTINGS, REQUIREMENTS, TRIALS} - set(loaded.user_attrs)
        if missing:
            raise InvalidValueError(
                f"`study` must have been started by hwnas search, but {study!r} was not: start it "
                f"with `hwnas search --storage ... --study {study}`."
            )
        return JoinedStudy(loaded)

    def from_study(
        self,
        study: optuna.Study,
        provenance: Mapping[str, Any] | None = None,
        space: SearchSpace[Any] | None = None,
    ) -> ParetoSet:
        """Make the Pareto set of a study; see `pareto_set_from_study`."""
        return pareto_set_from_study(study, provenance, space)

    def attach(
        self, storage: str, study: str, files: Mapping[str | int, Sequence[Path]], folder: Path
    ) -> int:
        """Attach files to the trials of architectures; see `hwnas_optuna.artifacts.attach`.

        Raises:
            InvalidValueError: the storage cannot be opened or has no such study.
        """
        loaded = load_study(storage, study)
        with reading(storage):
            return attach(loaded, files, folder)

    def load(
        self, storage: str, study: str, space: Callable[[], SearchSpace[Any]] | None = None
    ) -> ParetoSet:
        """Make the Pareto set of a stored study.

        Args:
            storage: where it is.
            study: its name.
            space: gives the space of a study that does not say its own, as that of an objective of
                the user's.

        Raises:
            InvalidValueError: the storage cannot be opened or has no such study.
        """
        loaded = load_study(storage, study)
        with reading(storage):
            known: dict[str, Any] = {"storage": without_passwords(storage)}
            if SETTINGS in loaded.user_attrs:
                settings = read_stored(loaded.user_attrs[SETTINGS], "settings")
                known |= {"seed": settings.get("seed", 0), "settings": settings}
            unsaid = space is not None and SPACE not in loaded.user_attrs
            made = space() if space is not None and unsaid else None
            return pareto_set_from_study(loaded, known, made)
