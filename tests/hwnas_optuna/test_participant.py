from __future__ import annotations

import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hwnas_optuna.objective import ERRORS
from hwnas_optuna.participant import GRACE, OWNER, Participant, standing
from hwnas_optuna.storage import open_storage

GRACE_SECONDS = 1.0


def make_study(storage: str | None) -> optuna.Study:
    made = optuna.create_study(storage=open_storage(storage), study_name="s")
    made.set_user_attr(GRACE, GRACE_SECONDS)
    return made


@pytest.fixture
def study() -> optuna.Study:
    return make_study(None)


def twin(study: optuna.Study) -> optuna.Study:
    """Open the study as another process would."""
    return optuna.load_study(storage=study._storage, study_name="s")


def watch(participant: Participant, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        participant.hand_on_lost_trials()
        time.sleep(0.05)


def states(study: optuna.Study) -> list[Any]:
    return [(t.state, t.user_attrs.get(OWNER)) for t in study.trials]


def test_a_trial_of_a_dead_participant_is_handed_on_once(storage: str) -> None:
    study = make_study(storage)
    with Participant(study, "first") as first:
        trial = first.claim()
        trial.suggest_categorical("x", ["a", "b"])
        trial.set_user_attr("kept", 1)
    others = [Participant(twin(study), name) for name in ("second", "third")]
    for _ in range(3):
        for other in others:
            watch(other, GRACE_SECONDS / 2)
    assert states(study) == [(TrialState.FAIL, "first"), (TrialState.WAITING, "first")]
    again = others[0].claim()
    assert again.number == 1
    assert again.params == trial.params
    assert again.user_attrs["kept"] == 1
    assert [t.number for t in standing(study.trials)] == [1]
    assert states(study)[1] == (TrialState.RUNNING, "second")


def test_a_trial_of_a_living_participant_is_left_to_it(study: optuna.Study) -> None:
    other = Participant(twin(study), "second")
    with Participant(study, "first") as first:
        first.claim()
        watch(other, 3 * GRACE_SECONDS)
        assert states(study) == [(TrialState.RUNNING, "first")]
    watch(other, 2 * GRACE_SECONDS)
    assert states(study)[0] == (TrialState.FAIL, "first")


def test_trials_of_other_programs_are_left_alone(study: optuna.Study) -> None:
    study.ask()
    other = Participant(twin(study), "second")
    watch(other, 2 * GRACE_SECONDS)
    assert states(study) == [(TrialState.RUNNING, None)]
    assert other.others_running(study.trials) == []


def test_a_returning_participant_has_a_new_pulse(study: optuna.Study) -> None:
    with Participant(study, "first") as first:
        first.claim()
    other = Participant(twin(study), "second")
    watch(other, GRACE_SECONDS / 2)
    with Participant(study, "first") as again:
        watch(other, GRACE_SECONDS)
        assert [t.number for t in again.running(study.trials)] == [0]


def test_a_trial_failed_by_one_that_died_before_the_copy_is_handed_on_once(
    study: optuna.Study,
) -> None:
    with Participant(study, "first") as first:
        trial = first.claim()
    # Another participant was killed in the middle of handing it on.
    study.tell(trial, state=TrialState.FAIL)
    failed = study.ask()
    failed.set_user_attr(OWNER, "first")
    failed.set_user_attr(ERRORS, {"gain": "no luck"})
    study.tell(failed, state=TrialState.FAIL)
    others = [Participant(twin(study), name) for name in ("second", "third")]
    for other in others:
        watch(other, GRACE_SECONDS / 2)
    assert len(study.trials) == 2
    for _ in range(2):
        for other in others:
            watch(other, GRACE_SECONDS)
    assert [t.state for t in study.trials] == [TrialState.FAIL] * 2 + [TrialState.WAITING]
    assert [t.number for t in standing(study.trials)] == [1, 2]
