"""A storage that holds back what a batch of trials writes, and writes it at once.

Optuna writes each parameter, attribute and state by itself: some twenty transactions a trial. Here
the new trials of a batch are one write, their parameters another, and their results a third.
Samplers see what is held as if it were written, and between two writes they see other processes'
trials as they were when the batch began.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hwnas_optuna.changes import Calls, Change, Writer
from hwnas_optuna.journal import HoldingBackend, JournalWriter
from hwnas_optuna.participant import begun
from hwnas_optuna.tables import TablesWriter

_FINISHED = {state for state in TrialState if state.is_finished()}
Room = Callable[[Sequence[FrozenTrial]], int]
"""Gives how many new trials there is room for, of the trials that the study has."""


def room_of(number: int, n_trials: int) -> Room:
    """Give the room for at most `number` new trials in a study of `n_trials`."""
    return lambda trials: min(number, n_trials - begun(trials))


class BatchingStorage(BaseStorage):
    """One study's storage, with writes that are held back within `asking` and `telling`.

    Outside of the two everything is read and written as the storage inside does. A process that
    ends within them has written nothing of the batch.

    Args:
        inner: the storage.
        study_id: the study whose trials are held back.
    """

    def __init__(self, inner: BaseStorage, study_id: int) -> None:
        self._inner = inner
        self._study_id = study_id
        self._writer = _writer_of(inner)
        self._held: dict[int, Change] = {}
        self._written: dict[int, FrozenTrial] = {}
        self._study_attributes: dict[str, Any] = {}
        self._new_ids = itertools.count(-1, -1)
        self._stored_ids: dict[int, int] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._seen: list[FrozenTrial] | None = None
        self._unfinished: list[FrozenTrial] = []
        self._asks = self._tells = False

    @contextmanager
    def asking(self, room: Room) -> Iterator[None]:
        """Hold new trials and attributes of the study, and write them when the context ends well.

        No more trials are written than there is room for.

        A trial that has a claim is written without parameters, so that it can be given another
        one; `write` adds them.

        Args:
            room: asked when the trials are written, since others may have asked meanwhile.
        """
        self._asks = True
        try:
            yield
            new = [change for trial_id, change in self._held.items() if trial_id < 0]
            self._seen = None
            if new:
                self._create(new[: max(room(self._read()), 0)])
            for key, value in self._study_attributes.items():
                self._inner.set_study_system_attr(self._study_id, key, value)
        finally:
            self._asks, self._seen = False, None
            self._study_attributes.clear()
            self._held = {i: change for i, change in self._held.items() if i >= 0}

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Hold everything, and write it when the context ends well."""
        self._tells = True
        try:
            yield
            self.write()
        finally:
            self._tells, self._seen = False, None
            self._held.clear()
            self._written.clear()

    def write(self) -> None:
        """Write what is held of stored trials; those that others have finished stay as they are."""
        self._writer.update(list(self._held.values()))
        self._written |= {i: change.trial for i, change in self._held.items()}
        self._held.clear()

    def forget(self, trial_id: int) -> None:
        """Drop what is held of a trial."""
        self._held.pop(self._id(trial_id), None)

    def is_stored(self, trial_id: int) -> bool:
        """Tell whether a trial was written, or there was no room for it."""
        return self._id(trial_id) >= 0

    def is_claimed(self, trial_id: int) -> bool:
        """Tell whether a trial is new and has a claim that its parameters wait for."""
        held = self._held.get(self._id(trial_id))
        return held is not None and held.is_claimed

    def _id(self, trial_id: int) -> int:
        """Give the identifier of a trial in the storage inside, if it is there."""
        return self._stored_ids.get(trial_id, trial_id)

    def _create(self, new: Sequence[Change]) -> None:
        claimed = [change for change in new if change.is_claimed]
        written = [c.without_parameters() if c.is_claimed else c.trial for c in new]
        for change, (trial_id, number) in zip(
            new, self._writer.create(self._study_id, written), strict=True
        ):
            self._stored_ids[change.trial._trial_id] = trial_id
            change.trial._trial_id, change.trial.number = trial_id, number
        for change in claimed:
            self._held[change.trial._trial_id] = Change(
                change.trial, parameters=list(change.trial.params)
            )

    def _read(self) -> list[FrozenTrial]:
        """Read all trials; within a batch once, unless this process writes past it."""
        if self._seen is not None:
            return self._seen
        trials = self._inner.get_all_trials(self._study_id, deepcopy=False)
        if self._asks or self._tells:
            self._seen = trials
            self._unfinished = [t for t in trials if not t.state.is_finished()]
        return trials

    def _holding(self, trial_id: int) -> Change | None:
        """Give the change that holds what is written to a trial; None where it is written now."""
        trial_id = self._id(trial_id)
        held = self._held.get(trial_id)
        if held is None and self._tells:
            held = self._held[trial_id] = Change(self.get_trial(trial_id))
        if held is None:
            self._seen = None
        else:
            self.check_trial_is_updatable(trial_id, held.trial.state)
        return held

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See `optuna.storages.BaseStorage`."""
        if not self._asks:
            return self._inner.create_new_trial(study_id, template_trial)
        trial = _copied(template_trial or optuna.create_trial(state=TrialState.RUNNING))
        if template_trial is None:
            trial.datetime_start = datetime.now()
        trial.number = len(self._read()) + sum(trial_id < 0 for trial_id in self._held)
        trial._trial_id = next(self._new_ids)
        self._held[trial._trial_id] = Change(trial)
        return trial._trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """See `optuna.storages.BaseStorage`."""
        held = self._holding(trial_id)
        if held is None:
            stored = self._id(trial_id)
            self._inner.set_trial_param(stored, param_name, param_value_internal, distribution)
            return
        self._check(param_name, distribution)
        held.trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        held.trial.distributions[param_name] = distribution
        held.parameters.append(param_name)

    def _check(self, name: str, distribution: BaseDistribution) -> None:
        """Insist that a parameter has the distribution of earlier trials."""
        if name not in self._distributions:
            found = (t.distributions[name] for t in self._read() if name in t.distributions)
            self._distributions[name] = next(found, distribution)
        check_distribution_compatibility(self._distributions[name], distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """See `optuna.storages.BaseStorage`."""
        held = self._holding(trial_id)
        if held is None:
            return self._inner.set_trial_state_values(self._id(trial_id), state, values)
        if state is TrialState.RUNNING:
            if held.trial.state is not TrialState.WAITING:
                return False
            held.trial.datetime_start = datetime.now()
        if values is not None:
            held.trial.values = list(values)
        if state.is_finished():
            held.trial.datetime_complete = datetime.now()
        held.trial.state = state
        return True

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Write at once; see `optuna.storages.BaseStorage`."""
        stored = self._id(trial_id)
        self._inner.set_trial_intermediate_value(stored, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See `optuna.storages.BaseStorage`."""
        held = self._holding(trial_id)
        if held is None:
            self._inner.set_trial_user_attr(self._id(trial_id), key, value)
            return
        held.user_attributes[key] = key in held.trial.user_attrs
        held.trial.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See `optuna.storages.BaseStorage`."""
        held = self._holding(trial_id)
        if held is None:
            self._inner.set_trial_system_attr(self._id(trial_id), key, value)
            return
        held.system_attributes[key] = key in held.trial.system_attrs
        held.trial.system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `optuna.storages.BaseStorage`."""
        held = self._held.get(self._id(trial_id))
        if held is not None:
            return _copied(held.trial)
        # Nobody else changes a running trial, and what others have finished is not written again.
        written = self._written.get(self._id(trial_id))
        return _copied(written or self._inner.get_trial(self._id(trial_id)))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See `optuna.storages.BaseStorage`."""
        if study_id != self._study_id:
            return self._inner.get_all_trials(study_id, deepcopy, states)
        trials = self._read()
        if (
            self._seen is not None
            and states is not None
            and not any(state in states for state in _FINISHED)
        ):
            trials = self._unfinished
        stored = {c.trial.number: c.trial for i, c in self._held.items() if i >= 0}
        if stored:
            trials = [t if t.state.is_finished() else stored.get(t.number, t) for t in trials]
        trials = [*trials, *(c.trial for i, c in self._held.items() if i < 0)]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """See `optuna.storages.BaseStorage`."""
        self._inner.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """See `optuna.storages.BaseStorage`."""
        self._inner.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Hold what samplers keep, e.g. parents; see `optuna.storages.BaseStorage`.

        Written before its trial, it would have that trial proposed otherwise after a kill.
        """
        if self._asks and study_id == self._study_id:
            self._study_attributes[key] = value
        else:
            self._inner.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See `optuna.storages.BaseStorage`."""
        held = self._study_attributes if study_id == self._study_id else {}
        return {**self._inner.get_study_system_attrs(study_id), **held}

    def get_all_studies(self) -> list[FrozenStudy]:
        """See `optuna.storages.BaseStorage`."""
        return self._inner.get_all_studies()


def batched(study: optuna.Study) -> tuple[optuna.Study, BatchingStorage]:
    """Give the same study, whose trials are written in batches, and its storage."""
    storage = BatchingStorage(study._storage, study._study_id)
    made = optuna.load_study(
        study_name=study.study_name, storage=storage, sampler=study.sampler, pruner=study.pruner
    )
    return made, storage


def _writer_of(storage: BaseStorage) -> Writer:
    """Choose the writer of a storage."""
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        return TablesWriter(backend)
    if isinstance(storage, JournalStorage) and isinstance(backend, HoldingBackend):
        return JournalWriter(storage, backend)
    return Calls(storage)


def _copied(trial: FrozenTrial) -> FrozenTrial:
    """Copy a trial, so that what is set in the copy is not set in the original."""
    made = copy.copy(trial)
    made.params, made.distributions = dict(trial.params), dict(trial.distributions)
    made.user_attrs, made.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    return made
