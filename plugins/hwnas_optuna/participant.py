"""Several processes on one study: who runs which trial, and who still lives."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from hwnas.process_state import unwarned
from hwnas_optuna.objective import ERRORS
from hwnas_optuna.trials import retried

OWNER = "hwnas:owner"
"""User attribute of a trial: name of the participant that runs it."""
GRACE = "hwnas:grace_seconds"
"""User attribute of a study: a participant without a pulse for so long counts as dead."""
GRACE_SECONDS = 60.0
_PULSE = "hwnas:pulse:"
_BEATS_IN_GRACE = 6


def standing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Leave out the trials that were handed on: their copies stand for them."""
    handed_on = {number for trial in trials for number in retried(trial)}
    return [trial for trial in trials if trial.number not in handed_on]


def begun(trials: Sequence[FrozenTrial]) -> int:
    """Count the trials that run or have ended, without those that were handed on."""
    return sum(trial.state is not TrialState.WAITING for trial in standing(trials))


def waiting_copies(trials: Sequence[FrozenTrial]) -> int:
    """Count the copies of lost trials that nobody has begun to run."""
    return sum(t.state is TrialState.WAITING and bool(retried(t)) for t in trials)


class Participant:
    """One process at work on a study that others may work on at the same time.

    A trial carries the name of its owner from the moment it exists, and while a participant is
    entered it writes a growing number to the study, its pulse. Whoever sees a running trial whose
    owner's pulse has stood still for the study's grace period fails the trial and leaves a copy
    to be run. No clocks of different machines are compared, and any Optuna storage will do:
    Optuna's own heartbeats exist in relational data bases only.

    Args:
        study: the study.
        name: name of the participant; no two at a time may have the same.
    """

    def __init__(self, study: optuna.Study, name: str) -> None:
        self.study = study
        self.name = name
        self._grace = float(study.user_attrs.get(GRACE, GRACE_SECONDS))
        self._seen: dict[int, tuple[object, float]] = {}
        self._orphaned: dict[int, float] = {}
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="hwnas-pulse", daemon=True)

    @property
    def poll_seconds(self) -> float:
        """How often it is worth looking for what others have done."""
        return min(1.0, self._grace / _BEATS_IN_GRACE)

    def __enter__(self) -> Participant:
        """Start the pulse."""
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the pulse."""
        self._stop.set()
        self._heart.join()

    def claim(self) -> optuna.Trial:
        """Take a trial that waits to be run, or a new one."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            # Not `ask` alone: a process killed between that and the mark would leave an orphan.
            self.study.add_trial(
                optuna.create_trial(state=TrialState.WAITING, user_attrs={OWNER: self.name})
            )
        return self._mark(self.study.ask())

    def claim_waiting(self) -> optuna.Trial | None:
        """Take a trial that waits to be run, or none where another one took it first."""
        trial_id = self.study._pop_waiting_trial_id()
        return None if trial_id is None else self._mark(optuna.Trial(self.study, trial_id))

    def _mark(self, trial: optuna.Trial) -> optuna.Trial:
        if trial.user_attrs.get(OWNER) != self.name:
            trial.set_user_attr(OWNER, self.name)
        return trial

    def own(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Select this participant's trials, without those that wait."""
        return [
            t
            for t in trials
            if t.user_attrs.get(OWNER) == self.name and t.state is not TrialState.WAITING
        ]

    def running(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Select this participant's trials that run, e.g. those that it left when it was killed."""
        return [t for t in self.own(trials) if t.state is TrialState.RUNNING]

    def others_running(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Select the running trials of other participants."""
        return [
            t
            for t in trials
            if t.state is TrialState.RUNNING and t.user_attrs.get(OWNER, self.name) != self.name
        ]

    def without_copy(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Select trials that were failed to be handed on, by a process killed before the copy.

        A trial that failed by itself says why.
        """
        return [
            t
            for t in standing(trials)
            if t.state is TrialState.FAIL and OWNER in t.user_attrs and ERRORS not in t.user_attrs
        ]

    def hand_on_lost_trials(self) -> None:
        """Fail the trials of dead participants and leave a copy of each to be run."""
        trials = self.study.get_trials(deepcopy=False)
        self._complete(self.without_copy(trials))
        running = self.others_running(trials)
        pulses = self.study.user_attrs if running else {}
        now = time.monotonic()
        for trial in running:
            owner = trial.user_attrs[OWNER]
            sign = (owner, pulses.get(_PULSE + owner))
            last, since = self._seen.get(trial.number, (None, now))
            if sign != last:
                self._seen[trial.number] = (sign, now)
            elif now - since > self._grace:
                self._hand_on(trial)

    def _complete(self, orphans: Sequence[FrozenTrial]) -> None:
        """Leave the copies that nobody has left within the grace period."""
        now = time.monotonic()
        for trial in orphans:
            if now - self._orphaned.setdefault(trial.number, now) > self._grace:
                # Another participant may have been faster.
                still = self.without_copy(self.study.get_trials(deepcopy=False))
                if trial.number in {t.number for t in still}:
                    self._copy(trial)

    def _hand_on(self, trial: FrozenTrial) -> None:
        try:
            self.study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            return  # Its owner finished it after all, or another participant was faster.
        self._copy(trial)

    def _copy(self, trial: FrozenTrial) -> None:
        # Experimental since Optuna 2.8 and unchanged but for its name.
        with unwarned(ExperimentalWarning):
            hand_on = RetryHeartbeatStaleTrialCallback()
        hand_on(self.study, trial)

    def _beat(self) -> None:
        key = _PULSE + self.name
        pulse = int(self.study.user_attrs.get(key, 0))
        while True:
            pulse += 1
            # A missed beat is harmless; a storage that is gone stops the work itself.
            with contextlib.suppress(Exception):
                self.study.set_user_attr(key, pulse)
            if self._stop.wait(self._grace / _BEATS_IN_GRACE):
                return
