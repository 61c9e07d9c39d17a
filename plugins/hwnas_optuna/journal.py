"""Trials of a batch in one write to a journal: its backend takes any number of records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial

from hwnas_optuna.changes import Calls, Change


class HoldingBackend(JournalFileBackend):
    """A journal's file that holds records back, until a further one is appended with them."""

    _holds = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held: list[dict[str, Any]] = []

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append what is held and these records at once, or hold them too."""
        self._held += logs
        if not self._holds and self._held:
            together, self._held = self._held, []
            super().append_logs(together)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold records; drop them if the context ends with an error."""
        self._holds = True
        try:
            yield
        except BaseException:
            self._held.clear()
            raise
        finally:
            self._holds = False


class JournalWriter:
    """Writes records of a journal at once.

    Args:
        storage: the journal.
        backend: its backend.
    """

    def __init__(self, storage: JournalStorage, backend: HoldingBackend) -> None:
        self._storage = storage
        self._backend = backend
        self._calls = Calls(storage)
        # Optuna sets it with the first trial that is read back, and reads it with each.
        vars(storage._replay_result).setdefault("_last_created_trial_id_by_this_process", -1)

    def create(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """See `Writer`."""
        if not trials:
            return []
        with self._backend.holding():
            for trial in trials[:-1]:
                self._storage.create_new_trial(study_id, trial)
        last = self._storage.create_new_trial(study_id, trials[-1])
        # A journal counts its trials, and nothing comes between records that are appended at once.
        ids = range(last - len(trials) + 1, last + 1)
        return [(trial_id, self._storage.get_trial(trial_id).number) for trial_id in ids]

    def update(self, changes: Sequence[Change]) -> None:
        """See `Writer`."""
        with self._backend.holding():
            self._calls.update(changes)
        self._backend.append_logs([])
        while changes:
            try:
                self._storage.get_all_studies()
                return
            except UpdateFinishedTrialError:
                # Raised by each record of this process about a trial that others have finished,
                # when it is read back: the next one is read then.
                continue
