"""What the trials of a study say about architectures: claims, history, repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas.strategies import History
from hwnas.typing import Arch, FloatArray, SearchSpace

CLAIM = "hwnas:claim"
"""System attribute of a trial: the architecture that it has taken, or None if it gave it back."""
_FIXED = "fixed_params"


def retried(trial: FrozenTrial) -> Sequence[int]:
    """Give the numbers of the trials that this one is a copy of, as Optuna's callback notes them.

    `RetryHeartbeatStaleTrialCallback.retry_history` reads the same, but warns for each trial that
    it is experimental.
    """
    found: Sequence[int] = trial.system_attrs.get("retry_history", ())
    return found


@dataclass(frozen=True)
class Taken(Generic[Arch]):
    """The architecture that a trial has.

    Attributes:
        arch: the architecture.
        key: its canonical key.
        losses: `(m,)` its losses, NaN if it failed; None while the trial is not finished.
    """

    arch: Arch
    key: str
    losses: FloatArray | None


class TrialReader(Generic[Arch]):
    """Reads architectures out of trials, of finished ones once.

    Args:
        space: search space.
    """

    def __init__(self, space: SearchSpace[Arch]) -> None:
        self.space = space
        self._names = frozenset(space.parameters)
        self._decoded: dict[tuple[Any, ...], Arch | None] = {}
        # By study and number. A trial of another storage is another object; a finished one never
        # changes.
        self._finished: dict[tuple[int, int], tuple[FrozenTrial, Taken[Arch] | None]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the trials out, which hold whatever users attached to them."""
        return {**vars(self), "_finished": {}}

    def arch(self, trial: FrozenTrial) -> Arch | None:
        """Give the architecture of a trial, or None if it has none yet.

        Its parameters say so once all of them are suggested; before that its queued parameters or
        its claim. A trial that completed without suggesting them all has evaluated none.
        """
        if trial.state is TrialState.COMPLETE:
            return self.decode(trial.params)
        parameters = {**trial.system_attrs.get(_FIXED, {}), **trial.params}
        found = self.decode(parameters)
        claim = trial.system_attrs.get(CLAIM)
        if found is None and claim is not None:
            return self.space.parse(claim)
        return found

    def decode(self, parameters: Mapping[str, Any]) -> Arch | None:
        """Give the architecture of parameters, or None if they do not make one."""
        known = tuple((n, v) for n, v in parameters.items() if self._is_known(n) and v is not None)
        if known not in self._decoded:
            try:
                arch = self.space.decode(dict(known))
                self.space.canonical_key(arch)
                self._decoded[known] = arch
            except Exception:  # Whatever a space raises: these are the parameters of none.
                self._decoded[known] = None
        return self._decoded[known]

    def _is_known(self, name: str) -> bool:
        """Tell whether a parameter may be the space's; one of a rare condition may be any."""
        return name in self._names or hasattr(self.space, "make")

    def others(self, study: Study, trial: FrozenTrial) -> list[Taken[Arch]]:
        """Read all other trials from the storage, without those that this one retries."""
        skipped = {trial.number, *retried(trial)}
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        read = (self._taken(t, study) for t in trials if t.number not in skipped)
        return [taken for taken in read if taken is not None]

    def _taken(self, trial: FrozenTrial, study: Study) -> Taken[Arch] | None:
        number = study._study_id, trial.number
        known = self._finished.get(number)
        if known is not None and known[0] is trial:
            return known[1]
        arch, finished = self.arch(trial), trial.state.is_finished()
        taken = None
        if arch is not None:
            losses = _losses(trial, study.directions) if finished else None
            taken = Taken(arch, self.space.canonical_key(arch), losses)
        if finished:
            self._finished[number] = trial, taken
        return taken

    def history(self, study: Study, trial: FrozenTrial, seed: int) -> History[Arch]:
        """Give what a proposal for this trial may depend on, in the order of the trials.

        Pruned and failed trials are failed evaluations, and so is a completed one that violates a
        constraint. Where several trials have one class, a completed one speaks for it.
        """
        finished: dict[str, tuple[Arch, FloatArray]] = {}
        pending: dict[str, Arch] = {}
        for other in self.others(study, trial):
            if other.losses is None:
                pending[other.key] = other.arch
            elif other.key not in finished or np.isnan(finished[other.key][1]).any():
                finished[other.key] = other.arch, other.losses
        return History(
            [arch for arch, _ in finished.values()],
            np.array([row for _, row in finished.values()]).reshape(-1, len(study.directions)),
            [arch for key, arch in pending.items() if key not in finished],
            finished.keys() | pending.keys(),
            seed,
        )

    def is_taken(self, key: str, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether another trial has or had this class."""
        return any(other.key == key for other in self.others(study, trial))


def _losses(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> FloatArray:
    signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions])
    violated = any(value > 0 for value in trial.constraints.values())
    if trial.state is not TrialState.COMPLETE or violated or trial.values is None:
        return np.full(len(signs), np.nan)
    losses: FloatArray = signs * np.array(trial.values, dtype=np.float64)
    return losses
