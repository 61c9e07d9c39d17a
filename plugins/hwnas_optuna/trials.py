"""What the trials of a study say about architectures: claims, history, repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic
from weakref import WeakKeyDictionary

import numpy as np
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas.process_state import PROCESS_STATE
from hwnas.strategies import History
from hwnas.typing import Arch, FloatArray, SearchSpace
from hwnas_optuna.suggesting import as_choice

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


def suggested(trial: FrozenTrial) -> dict[str, Any]:
    """Give the parameters of a trial as spaces know them."""
    return {n: as_choice(trial.distributions.get(n), v) for n, v in trial.params.items()}


def queued(trial: FrozenTrial) -> dict[str, Any]:
    """Give the parameters that a user has fixed, as spaces know them."""
    return {n: as_choice(None, v) for n, v in trial.system_attrs.get(_FIXED, {}).items()}


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


class Beginning(Generic[Arch]):
    """The first trials of a study, all of them finished: what never changes is read once.

    Attributes:
        count: how many trials.
        last: what tells the last of them from another one in its place.
        row: row of each class, by canonical key.
        archs: `(n,)` architectures, one a class.
    """

    def __init__(self, objectives: int) -> None:
        self.count = 0
        self.last: object = None
        self.row: dict[str, int] = {}
        self.archs: list[Arch] = []
        self._losses = np.empty((64, objectives))

    @property
    def losses(self) -> FloatArray:
        """`(n, m)` losses, NaN where the evaluation failed."""
        return self._losses[: len(self.archs)]

    def add(self, taken: Taken[Arch]) -> None:
        """Add what a finished trial has; a completed one speaks for its class."""
        assert taken.losses is not None
        row = self.row.setdefault(taken.key, len(self.archs))
        if row == len(self.archs):
            self.archs.append(taken.arch)
            if len(self.archs) > len(self._losses):
                self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
        elif not np.isnan(self._losses[row]).any():
            return
        self.archs[row], self._losses[row] = taken.arch, taken.losses

    def copy(self) -> Beginning[Arch]:
        """Give one that can be added to."""
        made: Beginning[Arch] = Beginning(self._losses.shape[1])
        made.row, made.archs, made._losses = self.row.copy(), self.archs.copy(), self._losses.copy()
        return made


class TrialReader(Generic[Arch]):
    """Reads architectures out of trials, of finished ones once; the threads of a study share it.

    Args:
        space: search space.
    """

    def __init__(self, space: SearchSpace[Arch]) -> None:
        self.space = space
        self._names = frozenset(space.parameters)
        self._decoded: dict[tuple[Any, ...], Arch | None] = {}
        self._beginnings = _Beginnings[Arch]()

    def arch(self, trial: FrozenTrial) -> Arch | None:
        """Give the architecture of a trial, or None if it has none yet.

        Its parameters say so once all of them are suggested; before that its queued parameters or
        its claim. A trial that completed without suggesting them all has evaluated none.
        """
        if trial.state is TrialState.COMPLETE:
            return self.decode(suggested(trial))
        found = self.decode({**queued(trial), **suggested(trial)})
        claim = trial.system_attrs.get(CLAIM)
        if found is None and claim is not None:
            return self.space.parse(claim)
        return found

    def decode(self, parameters: Mapping[str, Any]) -> Arch | None:
        """Give the architecture of parameters as `suggested` gives them, or None if of none."""
        known = tuple((n, v) for n, v in parameters.items() if self._is_known(n))
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

    def _read(
        self, study: Study, trial: FrozenTrial
    ) -> tuple[Beginning[Arch], Iterator[Taken[Arch]]]:
        """Give all other trials, without those that this one retries: the beginning and the rest.

        The beginning is shared: copy it before anything is added.
        """
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        beginning = self._beginning(study, trials)
        skipped = {trial.number, *retried(trial)}
        if min(skipped) < beginning.count:
            beginning = Beginning(len(study.directions))
        rest = (t for t in trials[beginning.count :] if t.number not in skipped)
        read = (self._taken(t, study) for t in rest)
        return beginning, (taken for taken in read if taken is not None)

    def _beginning(self, study: Study, trials: Sequence[FrozenTrial]) -> Beginning[Arch]:
        """Give the first trials up to the first one that is not finished."""
        made = self._beginnings.of(study)
        if made.count and (len(trials) < made.count or made.last != _sign(trials[made.count - 1])):
            made = self._beginnings.anew(study)
        for trial in trials[made.count :]:
            if not trial.state.is_finished():
                break
            taken = self._taken(trial, study)
            if taken is not None:
                made.add(taken)
            made.count += 1
            made.last = _sign(trial)
        return made

    def _taken(self, trial: FrozenTrial, study: Study) -> Taken[Arch] | None:
        arch = self.arch(trial)
        if arch is None:
            return None
        finished = trial.state.is_finished()
        losses = _losses(trial, study.directions) if finished else None
        return Taken(arch, self.space.canonical_key(arch), losses)

    def history(self, study: Study, trial: FrozenTrial, seed: int) -> History[Arch]:
        """Give what a proposal for this trial may depend on, in the order of the trials.

        Pruned and failed trials are failed evaluations, and so is a completed one that violates a
        constraint. Where several trials have one class, a completed one speaks for it.
        """
        with PROCESS_STATE:
            beginning, rest = self._read(study, trial)
            finished, pending = beginning.copy(), {}
            for other in rest:
                if other.losses is None:
                    pending[other.key] = other.arch
                else:
                    finished.add(other)
        return History(
            finished.archs,
            finished.losses,
            [arch for key, arch in pending.items() if key not in finished.row],
            finished.row.keys() | pending.keys(),
            seed,
        )

    def taken(self, study: Study, trial: FrozenTrial) -> set[str]:
        """Give the canonical keys of the classes that other trials have or had."""
        with PROCESS_STATE:
            beginning, rest = self._read(study, trial)
            return {*beginning.row, *(other.key for other in rest)}

    def classes(self, study: Study) -> Counter[str]:
        """Count how often each class, by canonical key, is had by a trial; earlier ones once."""
        with PROCESS_STATE:
            trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
            beginning = self._beginning(study, trials)
            rest = (self._taken(trial, study) for trial in trials[beginning.count :])
            return Counter(beginning.row.keys()) + Counter(taken.key for taken in rest if taken)

    def is_taken(self, key: str, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether another trial has or had this class."""
        with PROCESS_STATE:
            beginning, rest = self._read(study, trial)
            return key in beginning.row or any(other.key == key for other in rest)


def _sign(trial: FrozenTrial) -> object:
    """Give what tells a finished trial from one of another study in the place of a deleted one."""
    return trial._trial_id, trial.state, trial.values, trial.params


class _Beginnings(Generic[Arch]):
    """The beginnings of studies, which copy and pickle as none.

    They belong to storages: two of these may have a study of one identifier.
    """

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[BaseStorage, dict[int, Beginning[Arch]]] = WeakKeyDictionary()

    def of(self, study: Study) -> Beginning[Arch]:
        """Give what was read of a study."""
        known = self._of.get(study._storage, {}).get(study._study_id)
        return self.anew(study) if known is None else known

    def anew(self, study: Study) -> Beginning[Arch]:
        """Forget what was read of a study."""
        made: Beginning[Arch] = Beginning(len(study.directions))
        self._of.setdefault(study._storage, {})[study._study_id] = made
        return made

    def __reduce__(self) -> tuple[type[_Beginnings[Arch]], tuple[()]]:
        return _Beginnings, ()


def _losses(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> FloatArray:
    signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions])
    violated = any(value > 0 for value in trial.constraints.values())
    if trial.state is not TrialState.COMPLETE or violated or trial.values is None:
        return np.full(len(signs), np.nan)
    losses: FloatArray = signs * np.array(trial.values, dtype=np.float64)
    return losses
