from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hwnas.costs.counters import CounterCost
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import Direction
from hwnas_optuna import HardwareAwareSampler
from hwnas_optuna.batching import batched
from hwnas_optuna.loop import Batches
from hwnas_optuna.objective import ARCH, KEY
from hwnas_optuna.participant import Participant
from hwnas_optuna.storage import open_storage
from hwnas_optuna.trials import CLAIM

SPACE = NasBench201()
CHOICES = ["a", "b", "c"]


def make_study(storage: str | None, **settings: Any) -> optuna.Study:
    directions: list[Direction] = ["minimize", "maximize"]
    opened = open_storage(storage)
    return optuna.create_study(
        storage=opened, study_name="s", directions=directions, load_if_exists=True, **settings
    )


def everything(trials: Sequence[FrozenTrial]) -> int:
    del trials
    return 9


def ask(study: optuna.Study, number: int) -> list[optuna.Trial]:
    trials = [study.ask() for _ in range(number)]
    for trial in trials:
        trial.suggest_categorical("x", CHOICES)
        trial.suggest_int("y", 0, 8, step=2)
        trial.suggest_float("z", 0.5, 1.5)
    return trials


def tell(study: optuna.Study, trials: Sequence[optuna.Trial]) -> None:
    for trial in trials:
        trial.set_user_attr("results", {"macs": 1.5, "none": None})
        trial.set_user_attr("overwritten", 1)
        trial.set_user_attr("overwritten", trial.number)
        trial.set_constraint("size", trial.number - 1.0)
        states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
        state = states[trial.number % 3]
        values = [float(trial.number), float("inf")]
        study.tell(trial, values if state is TrialState.COMPLETE else None, state=state)


def facts(study: optuna.Study) -> list[Any]:
    """Give all that another process reads of the trials, but times and identifiers."""
    again = optuna.load_study(study_name="s", storage=study._storage)
    return [
        (
            (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs),
            (t.system_attrs, t.constraints, t.datetime_start is None, t.datetime_complete is None),
        )
        for t in again.trials
    ]


def test_what_is_written_in_batches_is_what_optuna_writes_one_by_one(storage: str) -> None:
    study = make_study(storage, sampler=optuna.samplers.RandomSampler(seed=0))
    plain = make_study(None, sampler=optuna.samplers.RandomSampler(seed=0))
    asked, held = batched(study)
    for _ in range(2):
        with held.asking(everything):
            trials = ask(asked, 4)
        assert {t.state for t in study.trials[-4:]} == {TrialState.RUNNING}
        with held.telling():
            tell(asked, trials)
        tell(plain, ask(plain, 4))
    assert facts(study) == facts(plain)
    if not storage.startswith("grpc"):  # whose messages have no order
        assert {tuple(trial.params) for trial in study.trials} == {("x", "y", "z")}
    assert all(t.datetime_start <= t.datetime_complete for t in study.trials)  # type: ignore[operator]


def test_a_batch_that_is_interrupted_has_written_nothing(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)
    with contextlib.suppress(KeyboardInterrupt), held.asking(everything):
        ask(asked, 3)
        raise KeyboardInterrupt
    assert study.trials == []
    with held.asking(everything):
        trials = ask(asked, 3)
    before = facts(study)
    with contextlib.suppress(KeyboardInterrupt), held.telling():
        tell(asked, trials)
        raise KeyboardInterrupt
    assert facts(study) == before
    with held.telling():
        tell(asked, trials)
    assert not [t for t in study.trials if not t.state.is_finished()]


def test_what_a_sampler_keeps_in_the_study_is_written_after_its_trials(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)

    def keep(value: int) -> None:
        asked._storage.set_study_system_attr(asked._study_id, "parents", value)
        assert asked._storage.get_study_system_attrs(asked._study_id)["parents"] == value

    with contextlib.suppress(KeyboardInterrupt), held.asking(everything):
        keep(1)
        raise KeyboardInterrupt
    assert "parents" not in asked._storage.get_study_system_attrs(asked._study_id)
    with held.asking(everything):
        keep(2)
    assert study._storage.get_study_system_attrs(study._study_id)["parents"] == 2


def test_samplers_see_what_is_held(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)
    with held.asking(everything):
        first = ask(asked, 1)[0]
        first.set_user_attr("seen", True)
        first.study._storage.set_trial_system_attr(first._trial_id, "hidden", 1)
        [there] = asked.get_trials(deepcopy=False)
        assert (there.params, there.user_attrs) == (first.params, {"seen": True})
        assert there.system_attrs == {"hidden": 1}
        assert [t.number for t in ask(asked, 1)] == [1]
        assert asked.get_trials(states=(TrialState.COMPLETE,)) == []
        study.ask()  # another process, which is not seen before the batch is written
        assert len(asked.trials) == 2
    assert [t.user_attrs for t in asked.trials] == [{}, {"seen": True}, {}]


def test_numbers_are_those_that_the_storage_gives(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)
    with held.asking(everything):
        trials = ask(asked, 3)
        study.ask()
    with held.telling():
        tell(asked, trials[:1])
    assert [t.number for t in study.trials] == [0, 1, 2, 3]
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.COMPLETE] + [
        TrialState.RUNNING
    ] * 2


def test_no_more_trials_are_written_than_there_is_room_for(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)
    with held.asking(lambda trials: 3 - len(trials)):
        trials = ask(asked, 3)
        study.ask()
    assert len(study.trials) == 3
    assert [held.is_stored(t._trial_id) for t in trials] == [True, True, False]


def test_what_others_have_finished_stays_as_it_is(storage: str) -> None:
    study = make_study(storage)
    asked, held = batched(study)
    with held.asking(everything):
        trials = ask(asked, 3)
    other = optuna.load_study(study_name="s", storage=open_storage(storage))
    with held.telling():
        tell(asked, trials)
        other.tell(1, state=TrialState.FAIL)
    assert [t.state for t in study.trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert [len(t.user_attrs) for t in study.trials] == [2, 0, 2]


def test_a_choice_that_earlier_trials_did_not_have_is_refused_as_by_optuna(storage: str) -> None:
    study = make_study(storage)
    tell(study, ask(study, 1))
    asked, held = batched(study)
    with held.asking(everything), pytest.raises(ValueError, match="dynamic value space"):
        asked.ask().suggest_categorical("x", ["a", "other"])


def test_two_that_claim_one_class_at_a_moment_do_not_both_keep_it(storage: str) -> None:
    costs = [cost_objective(SPACE, CounterCost(SPACE, metric)) for metric in ("params", "layers")]
    evaluator = Evaluator(SPACE, costs)
    # Equal seeds: both propose the same while neither sees the other.
    both = [
        Batches(make_study(storage, sampler=HardwareAwareSampler(SPACE)), evaluator)
        for _ in range(2)
    ]
    one, other = (Participant(b.study, name) for b, name in zip(both, "ab", strict=True))

    def meanwhile(trials: Sequence[FrozenTrial]) -> int:
        assert trials == []
        both[1].evaluate((other.claim() for _ in range(2)), everything)
        return 2

    assert not both[0].evaluate((one.claim() for _ in range(2)), meanwhile)
    trials = make_study(storage).trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 4
    assert len({t.user_attrs[KEY] for t in trials}) == 4
    for trial in trials:
        arch = SPACE.parse(trial.user_attrs[ARCH])
        assert SPACE.decode(trial.params) == arch == SPACE.parse(trial.system_attrs[CLAIM])
        assert trial.values == [evaluator(arch).values[o.name] for o in evaluator.objectives]
