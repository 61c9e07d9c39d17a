"""What is to be written of the trials of a batch, and the plain way of writing it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from hwnas_optuna.trials import CLAIM


@dataclass
class Change:
    """What is to be written of a trial.

    Attributes:
        trial: the trial as it will be.
        parameters: names of new parameters, in their order.
        user_attributes: names of new or changed ones, and whether they had a value.
        system_attributes: the same of system attributes.
    """

    trial: FrozenTrial
    parameters: list[str] = field(default_factory=list)
    user_attributes: dict[str, bool] = field(default_factory=dict)
    system_attributes: dict[str, bool] = field(default_factory=dict)

    @property
    def is_claimed(self) -> bool:
        """Whether the trial runs and has a claim, from which its parameters follow."""
        claim = self.trial.system_attrs.get(CLAIM)
        return claim is not None and not self.trial.state.is_finished()

    def without_parameters(self) -> FrozenTrial:
        """Give the trial without parameters."""
        made = copy.copy(self.trial)
        made.params, made.distributions = {}, {}
        return made


class Writer(Protocol):
    """What writes trials of one study."""

    def create(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """Write new trials; give their identifiers and numbers."""

    def update(self, changes: Sequence[Change]) -> None:
        """Write changes of trials that are there; leave those that are finished as they are."""


class Calls:
    """Writes through the methods that every storage has, one value at a time.

    Args:
        storage: the storage.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def create(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
        """See `Writer`."""
        ids = [self._storage.create_new_trial(study_id, trial) for trial in trials]
        return [(trial_id, self._storage.get_trial(trial_id).number) for trial_id in ids]

    def update(self, changes: Sequence[Change]) -> None:
        """See `Writer`."""
        for change in changes:
            with contextlib.suppress(UpdateFinishedTrialError):
                self._write(change)

    def _write(self, change: Change) -> None:
        storage, trial = self._storage, change.trial
        for name in change.parameters:
            distribution = trial.distributions[name]
            inner = distribution.to_internal_repr(trial.params[name])
            storage.set_trial_param(trial._trial_id, name, inner, distribution)
        for key in change.user_attributes:
            storage.set_trial_user_attr(trial._trial_id, key, trial.user_attrs[key])
        for key in change.system_attributes:
            storage.set_trial_system_attr(trial._trial_id, key, trial.system_attrs[key])
        if trial.state.is_finished():
            storage.set_trial_state_values(trial._trial_id, trial.state, trial.values)
