"""What a progress line is told of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
import pytest

from hwnas_optuna.loop import run, work
from hwnas_optuna.watching import tell
from tests.hwnas_optuna.toy import Toy, evaluator, study_of


@dataclass
class Listener:
    """Keeps what it is told."""

    stages: list[str] = field(default_factory=list)
    told: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def stage(self, what: str) -> None:
        self.stages.append(what)

    def trials(self, finished: int, total: int, facts: Sequence[str]) -> None:
        self.told.append((finished, total, tuple(facts)))


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        ([], ()),
        # (gain up, cost down): (3, 2) and (5, 4) are on the front, once each.
        ([(3.0, 2.0), (3.0, 2.0), (5.0, 4.0), (2.0, 3.0)], ("front 2", "best 2 ms")),
    ],
)
def test_front_and_best_cost_are_told(
    values: list[tuple[float, float]], facts: tuple[str, ...]
) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for pair in values:
        study.add_trial(optuna.create_trial(values=list(pair)))
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.PRUNED))
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.WAITING))
    listener = Listener()
    tell(listener, evaluator(Toy()), study.trials, 7)
    assert listener.told == [(len(values) + 1, 7, facts)]


def test_a_search_tells_after_each_batch() -> None:
    made, listener = evaluator(Toy()), Listener()
    run(study_of(made, None, "random"), made, 25, batch=10, watch=listener)
    finished = [n for n, _, _ in listener.told]
    assert finished[:3] == [0, 10, 20]
    assert finished[-1] == 25
    assert {total for _, total, _ in listener.told} == {25}
    assert listener.stages[:2] == ["choosing trials", "evaluating"]
    assert listener.told[-1][2][0].startswith("front ")


def test_a_worker_tells_too() -> None:
    made, listener = evaluator(Toy()), Listener()
    ran = work(study_of(made, None, "random"), made, lambda: 6, name="w", batch=2, watch=listener)
    assert ran == 6
    assert [n for n, _, _ in listener.told] == [0, 2, 4, 6]


def test_a_search_whose_time_is_up_goes_on_later() -> None:
    made = evaluator(Toy())
    study = study_of(made, None, "random")
    run(study, made, 20, batch=10, timeout=0.0)
    assert not study.trials
    run(study, made, 20, batch=10, timeout=60.0)
    assert len(study.trials) == 20
