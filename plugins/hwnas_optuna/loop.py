"""The loops of `hwnas search` and `hwnas worker`: trials that survive a kill.

A search asks for trials in batches of fixed size, all of a batch before any of it is evaluated,
and tells them in the order of their numbers. What a sampler sees therefore depends neither on the
number of worker processes nor on when the process was killed, and the study repeats exactly.

The trials of a batch are written as running ones before any of them is evaluated, so that others
see what they must not propose and what is left by a process that was killed, and once more when
all of them are evaluated; see `hwnas_optuna.batching`.

Workers join in from other processes and machines. They ask when they are free, so what a sampler
sees depends on timing: with workers, no trial is lost or run twice, but the study does not repeat.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import InvalidArchitectureError
from hwnas.evaluation.evaluator import Evaluation, Evaluator
from hwnas.study.hosts import Watch
from hwnas.typing import Arch
from hwnas_optuna.batching import Room, batched, room_of
from hwnas_optuna.hardware_aware import SpaceExhausted
from hwnas_optuna.objective import ERRORS, HardwareAwareObjective, reason
from hwnas_optuna.participant import Participant, begun, waiting_copies
from hwnas_optuna.samplers import POPULATION
from hwnas_optuna.trials import TrialReader, retried
from hwnas_optuna.watching import tell

SEARCH = "search"
"""The participant that asks in batches; a study has one."""


def run(
    study: optuna.Study,
    evaluator: Evaluator[Arch],
    n_trials: int,
    *,
    batch: int = POPULATION,
    after_batch: Callable[[Sequence[FrozenTrial]], None] | None = None,
    watch: Watch | None = None,
    timeout: float | None = None,
) -> None:
    """Run trials until the study has `n_trials`, going on with what an earlier run left.

    Args:
        study: from `open_study`; other processes may `work` on it, but not `run` it.
        evaluator: objectives, constraints, cache, worker processes.
        n_trials: trials that the study has in the end, those of earlier runs and of workers
            included; fewer if the space is exhausted before.
        batch: trials asked for before any of them is evaluated.
        after_batch: called with all trials after each batch.
        watch: is told how far the study is.
        timeout: seconds after which no batch is begun; None for as long as it takes.
    """
    end = None if timeout is None else time.monotonic() + timeout
    batches = Batches(study, evaluator, watch)
    study = batches.study
    with Participant(study, SEARCH) as me:
        left = me.running(study.get_trials(deepcopy=False))
        exhausted = False
        while not exhausted:
            trials = study.get_trials(deepcopy=False)
            tell(watch, evaluator, trials, n_trials)
            # A killed run may have left a batch half asked: ask for the rest before evaluating.
            asked = len(me.own(trials)) % batch
            full = bool(left) and not asked
            missing = 0 if full else max(min(batch - asked, n_trials - begun(trials)), 0)
            if not left and not missing:
                break
            if end is not None and time.monotonic() >= end:
                return
            adopted = (optuna.Trial(study, t._trial_id) for t in left)
            new = (me.claim() for _ in range(missing))
            both = itertools.chain(adopted, new)
            exhausted = batches.evaluate(both, room_of(missing, n_trials))
            left = []
            if after_batch is not None:
                after_batch(study.get_trials(deepcopy=False))
        # Trials that workers still run may be lost with them.
        _work(me, batches, lambda: n_trials, 1, exhausted)


def work(
    study: optuna.Study,
    evaluator: Evaluator[Arch],
    n_trials: Callable[[], int],
    *,
    name: str,
    batch: int = 1,
    watch: Watch | None = None,
) -> int:
    """Run trials of a study that others work on too, until it has enough of them.

    Args:
        study: from `open_study` or `optuna.load_study`.
        evaluator: objectives, constraints, cache, worker processes.
        n_trials: gives the trials that the study has in the end. Workers that ask at the same
            moment may run a few more.
        name: name of this worker, different from that of any other.
        batch: trials asked for at a time.
        watch: is told how far the study is.

    Returns:
        How many trials this worker ran.
    """
    batches = Batches(study, evaluator, watch)
    with Participant(batches.study, name) as me:
        return _work(me, batches, n_trials, batch)


def _work(
    me: Participant,
    batches: Batches[Arch],
    n_trials: Callable[[], int],
    batch: int,
    exhausted: bool = False,
) -> int:
    while True:
        me.hand_on_lost_trials()
        trials = me.study.get_trials(deepcopy=False)
        tell(batches.watch, batches.evaluator, trials, n_trials())
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        # Another worker may fill a lost trial's place before its copy is there: both are run.
        missing, copies = n_trials() - begun(trials), waiting_copies(trials)
        room = min(batch, waiting if exhausted else max(missing, copies))
        if room > 0 and missing <= 0 and not exhausted:
            # Another worker may take the copy first, and then nothing is missing.
            taken = (me.claim_waiting() for _ in range(room))
            batches.evaluate((trial for trial in taken if trial is not None), room_of(0, 0))
        elif room > 0:
            new = (me.claim() for _ in range(room))
            exhausted |= batches.evaluate(new, room_of(room, n_trials()))
        elif me.others_running(trials) or me.without_copy(trials):
            batches.stage("waiting for other workers")
            time.sleep(me.poll_seconds)
        else:
            return len(me.own(trials))


class Batches(Generic[Arch]):
    """Evaluates trials in batches, each of which is written as a whole.

    Args:
        study: the study.
        evaluator: objectives, constraints, cache, worker processes.

        watch: is told what is done.

    Attributes:
        study: the study to ask and tell.
    """

    def __init__(
        self, study: optuna.Study, evaluator: Evaluator[Arch], watch: Watch | None = None
    ) -> None:
        self.study, self._storage = batched(study)
        self.evaluator, self.watch = evaluator, watch
        self._objective = HardwareAwareObjective(evaluator)
        self._reader = TrialReader(evaluator.space)

    def stage(self, what: str) -> None:
        """Say what is done now."""
        if self.watch is not None:
            self.watch.stage(what)

    def evaluate(self, trials: Iterable[optuna.Trial], room: Room) -> bool:
        """Evaluate trials together and tell them in the given order.

        Args:
            trials: running trials, asked for one after another.
            room: says of the study's trials how many of the new ones are still needed.

        Returns:
            Whether the sampler says that the space is exhausted; no more trials are asked for then.
        """
        self.stage("choosing trials")
        asked, exhausted = self._ask(trials, room)
        asked = self._settle(asked)
        evaluator = self._objective.evaluator
        for trial, arch in asked:
            if retried(self._storage.get_trial(trial._trial_id)):
                evaluator.doubt(arch)  # Its first owner may have died of it.
        self.stage("evaluating")
        evaluations = evaluator.evaluate([arch for _, arch in asked])
        with self._storage.telling():
            for (trial, _), evaluation in zip(asked, evaluations, strict=True):
                with _left_to_others():
                    _tell(self.study, self._objective, trial, evaluation)
        return exhausted

    def _ask(
        self, trials: Iterable[optuna.Trial], room: Room
    ) -> tuple[list[tuple[optuna.Trial, Arch]], bool]:
        """Give trials with their architectures, and whether the space is exhausted."""
        asked: list[tuple[optuna.Trial, Arch]] = []
        with self._storage.asking(room):
            for trial in trials:
                with _left_to_others():
                    arch = _arch(self.study, self._objective, trial)
                    if isinstance(arch, SpaceExhausted):
                        return asked, True
                    if arch is not None:
                        asked.append((trial, arch))
        return asked, False

    def _settle(
        self, asked: Sequence[tuple[optuna.Trial, Arch]]
    ) -> list[tuple[optuna.Trial, Arch]]:
        """Leave out what others have filled the place of, and ask anew for what they have taken.

        The claims of all are written by now, so of two that have one class, one at least sees it.
        """
        settled: list[tuple[optuna.Trial, Arch]] = []
        with self._storage.asking(room_of(0, 0)):
            had = self._reader.classes(self.study)
            for trial, arch in asked:
                if not self._storage.is_stored(trial._trial_id):
                    continue
                shared = had[self._reader.space.canonical_key(arch)] > 1
                if shared and self._storage.is_claimed(trial._trial_id):
                    self._storage.forget(trial._trial_id)
                    with _left_to_others():
                        again = optuna.Trial(self.study, trial._trial_id)
                        other = _arch(self.study, self._objective, again)
                        if other is not None and not isinstance(other, SpaceExhausted):
                            settled.append((again, other))
                else:
                    settled.append((trial, arch))
            self._storage.write()
        return settled


@contextlib.contextmanager
def _left_to_others() -> Iterator[None]:
    """Drop a trial that others took over, since this process was silent for too long."""
    with contextlib.suppress(UpdateFinishedTrialError):
        yield


def _arch(
    study: optuna.Study, objective: HardwareAwareObjective[Arch], trial: optuna.Trial
) -> Arch | SpaceExhausted | None:
    """Give a trial's architecture; None where it has none, and the trial is failed."""
    try:
        return objective.arch(trial)
    except SpaceExhausted as error:
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        return error
    except InvalidArchitectureError as error:
        objective.refuse(trial, error)
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        return None
    except (UpdateFinishedTrialError, StorageInternalError):
        raise
    except Exception as error:
        # Queued parameters of no architecture, or a space that raises.
        trial.set_user_attr(ERRORS, {"architecture": reason(error)})
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return None


def _tell(
    study: optuna.Study,
    objective: HardwareAwareObjective[Arch],
    trial: optuna.Trial,
    evaluation: Evaluation[Arch],
) -> None:
    try:
        values: Sequence[float] | None = objective.record(trial, evaluation)
        state = TrialState.FAIL if evaluation.status == "failed" else TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    if state is not TrialState.COMPLETE:
        values = None
    study.tell(trial, values, state=state, skip_if_finished=True)
