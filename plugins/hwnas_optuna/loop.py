"""The loops of `hwnas search` and `hwnas worker`: trials that survive a kill.

A search asks for trials in batches of fixed size, all of a batch before any of it is evaluated,
and tells them in the order of their numbers. What a sampler sees therefore depends neither on the
number of worker processes nor on when the process was killed, and the study repeats exactly.

Workers join in from other processes and machines. They ask when they are free, so what a sampler
sees depends on timing: with workers, no trial is lost or run twice, but the study does not repeat.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import InvalidArchitectureError
from hwnas.evaluation.evaluator import Evaluation, Evaluator
from hwnas.typing import Arch
from hwnas_optuna.hardware_aware import SpaceExhausted
from hwnas_optuna.objective import ERRORS, HardwareAwareObjective, reason
from hwnas_optuna.participant import Participant, standing, waiting_copies
from hwnas_optuna.samplers import POPULATION
from hwnas_optuna.trials import retried

SEARCH = "search"
"""The participant that asks in batches; a study has one."""


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
        study: from `open_study`; other processes may `work` on it, but not `run` it.
        evaluator: objectives, constraints, cache, worker processes.
        n_trials: trials that the study has in the end, those of earlier runs and of workers
            included; fewer if the space is exhausted before.
        batch: trials asked for before any of them is evaluated.
        after_batch: called with all trials after each batch.
    """
    with Participant(study, SEARCH) as me:
        left = me.running(study.get_trials(deepcopy=False))
        exhausted = False
        while not exhausted:
            trials = study.get_trials(deepcopy=False)
            # A killed run may have left a batch half asked: ask for the rest before evaluating.
            asked = len(me.own(trials)) % batch
            full = bool(left) and not asked
            missing = 0 if full else max(min(batch - asked, n_trials - _begun(trials)), 0)
            if not left and not missing:
                break
            adopted = (optuna.Trial(study, t._trial_id) for t in left)
            new = _new(me, missing, n_trials)
            exhausted = evaluate(study, evaluator, itertools.chain(adopted, new))
            left = []
            if after_batch is not None:
                after_batch(study.get_trials(deepcopy=False))
        # Trials that workers still run may be lost with them.
        _work(me, evaluator, lambda: n_trials, 1, exhausted)


def work(
    study: optuna.Study,
    evaluator: Evaluator[Arch],
    n_trials: Callable[[], int],
    *,
    name: str,
    batch: int = 1,
) -> int:
    """Run trials of a study that others work on too, until it has enough of them.

    Args:
        study: from `open_study` or `optuna.load_study`.
        evaluator: objectives, constraints, cache, worker processes.
        n_trials: gives the trials that the study has in the end. Workers that ask at the same
            moment may run a few more.
        name: name of this worker, different from that of any other.
        batch: trials asked for at a time.

    Returns:
        How many trials this worker ran.
    """
    with Participant(study, name) as me:
        return _work(me, evaluator, n_trials, batch)


def _work(
    me: Participant,
    evaluator: Evaluator[Arch],
    n_trials: Callable[[], int],
    batch: int,
    exhausted: bool = False,
) -> int:
    while True:
        me.hand_on_lost_trials()
        trials = me.study.get_trials(deepcopy=False)
        waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        # Another worker may fill a lost trial's place before its copy is there: both are run.
        missing, copies = n_trials() - _begun(trials), waiting_copies(trials)
        room = min(batch, waiting if exhausted else max(missing, copies))
        if room > 0 and missing <= 0 and not exhausted:
            # Another worker may take the copy first, and then nothing is missing.
            taken = (me.claim_waiting() for _ in range(room))
            evaluate(me.study, evaluator, (trial for trial in taken if trial is not None))
        elif room > 0:
            exhausted |= evaluate(me.study, evaluator, _new(me, room, n_trials()))
        elif me.others_running(trials) or me.without_copy(trials):
            time.sleep(me.poll_seconds)
        else:
            return len(me.own(trials))


def _new(me: Participant, number: int, n_trials: int) -> Iterator[optuna.Trial]:
    """Take trials one after another, no more than the study still needs."""
    for _ in range(number):
        if _begun(me.study.get_trials(deepcopy=False)) >= n_trials:
            return
        yield me.claim()


def _begun(trials: Sequence[FrozenTrial]) -> int:
    """Count the trials that run or have ended, without those that were handed on."""
    return sum(trial.state is not TrialState.WAITING for trial in standing(trials))


def evaluate(
    study: optuna.Study, evaluator: Evaluator[Arch], trials: Iterable[optuna.Trial]
) -> bool:
    """Evaluate trials together and tell them in the given order.

    Args:
        study: their study.
        evaluator: objectives, constraints, cache, worker processes.
        trials: running trials, asked for one after another.

    Returns:
        Whether the sampler says that the space is exhausted; no more trials are asked for then.
    """
    objective = HardwareAwareObjective(evaluator)
    asked: list[optuna.Trial] = []
    archs: list[Arch] = []
    exhausted = False
    for trial in trials:
        with _left_to_others():
            arch = _arch(study, objective, trial)
            if isinstance(arch, SpaceExhausted):
                exhausted = True
                break
            if arch is not None:
                asked.append(trial)
                archs.append(arch)
                if retried(study._storage.get_trial(trial._trial_id)):
                    evaluator.doubt(arch)  # Its first owner may have died of it.
    for trial, evaluation in zip(asked, evaluator.evaluate(archs), strict=True):
        with _left_to_others():
            _tell(study, objective, trial, evaluation)
    return exhausted


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
