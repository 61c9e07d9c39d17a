"""Trials of a batch in one transaction of a data base.

Optuna's storage takes one parameter, attribute or state in a transaction. Its tables are as they
are here since version 3 (schema 12), and it promises to keep old ones readable.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from hwnas_optuna.changes import Change

_TRIALS: Table = models.TrialModel.__table__
_STUDIES: Table = models.StudyModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_PARAMETERS: Table = models.TrialParamModel.__table__
_USER: Table = models.TrialUserAttributeModel.__table__
_SYSTEM: Table = models.TrialSystemAttributeModel.__table__


class TablesWriter:
    """Writes rows of Optuna's tables.

    Args:
        storage: the data base.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage

    def create(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """See `Writer`."""
        with self._transaction() as connection:
            first = _lock_and_count(connection, study_id)
            written = [
                (_insert_trial(connection, study_id, number, trial), number)
                for number, trial in enumerate(trials, start=first)
            ]
            _add_rows(connection, [_whole(t, i) for t, (i, _) in zip(trials, written, strict=True)])
        return written

    def update(self, changes: Sequence[Change]) -> None:
        """See `Writer`."""
        with self._transaction() as connection:
            _add_rows(connection, [c for c in changes if _set_state(connection, c.trial)])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._storage.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StorageInternalError(str(error).partition("\n")[0]) from error


def _lock_and_count(connection: Connection, study_id: int) -> int:
    """Count the trials of a study, to which nobody adds one before the transaction ends.

    Optuna locks the same row before it counts; SQLite locks its file for any change.
    """
    of_study = _STUDIES.c.study_id == study_id
    connection.execute(update(_STUDIES).where(of_study).values(study_id=study_id))
    trials = select(func.count()).where(_TRIALS.c.study_id == study_id)
    return int(connection.execute(trials).scalar_one())


def _insert_trial(connection: Connection, study_id: int, number: int, trial: FrozenTrial) -> int:
    row = {
        "number": number,
        "study_id": study_id,
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }
    key = connection.execute(insert(_TRIALS), row).inserted_primary_key
    assert key is not None
    return int(key[0])


def _set_state(connection: Connection, trial: FrozenTrial) -> bool:
    """Set state and time of a running trial; tell whether it was one."""
    running = (_TRIALS.c.trial_id == trial._trial_id) & (_TRIALS.c.state == TrialState.RUNNING)
    new = {"state": trial.state, "datetime_complete": _utc(trial.datetime_complete)}
    return connection.execute(update(_TRIALS).where(running).values(new)).rowcount == 1


def _utc(time: datetime | None) -> datetime | None:
    """Give a local time as Optuna's tables have it."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def _whole(trial: FrozenTrial, trial_id: int) -> Change:
    """Make the change that writes everything that a trial has."""
    written = copy.copy(trial)
    written._trial_id = trial_id
    user, system = dict.fromkeys(trial.user_attrs, False), dict.fromkeys(trial.system_attrs, False)
    return Change(written, list(trial.params), user, system)


def _add_rows(connection: Connection, changes: Sequence[Change]) -> None:
    """Write values, parameters and attributes, each table at once."""
    user = [(c.trial, c.user_attributes, c.trial.user_attrs) for c in changes]
    system = [(c.trial, c.system_attributes, c.trial.system_attrs) for c in changes]
    for table, attributes in ((_USER, user), (_SYSTEM, system)):
        old = [
            {"of": trial._trial_id, "name": key}
            for trial, new, _ in attributes
            for key, there in new.items()
            if there
        ]
        if old:
            named = (table.c.trial_id == bindparam("of")) & (table.c.key == bindparam("name"))
            connection.execute(delete(table).where(named), old)
        _insert(
            connection,
            table,
            [
                {"trial_id": trial._trial_id, "key": key, "value_json": json.dumps(values[key])}
                for trial, new, values in attributes
                for key in new
            ],
        )
    _insert(connection, _PARAMETERS, [row for c in changes for row in _parameters(c)])
    _insert(connection, _VALUES, [row for c in changes for row in _values(c.trial)])


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _parameters(change: Change) -> Iterator[dict[str, Any]]:
    trial = change.trial
    for name in change.parameters:
        distribution = trial.distributions[name]
        yield {
            "trial_id": trial._trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(distribution),
        }


def _values(trial: FrozenTrial) -> Iterator[dict[str, Any]]:
    """Give the rows of the values, which are written when a trial is finished."""
    values = trial.values if trial.state.is_finished() else None
    for objective, number in enumerate(values or ()):
        value, kind = models.TrialValueModel.value_to_stored_repr(number)
        row = {"trial_id": trial._trial_id, "objective": objective}
        yield {**row, "value": value, "value_type": kind}
