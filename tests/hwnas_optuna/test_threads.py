"""Studies whose trials run in threads or processes of the user's own."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup, make_constraints, make_objectives
from hwnas.tasks.task import image_task
from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler
from hwnas_optuna.trials import TrialReader

SPACE = NasBench201(channels=4, cells=1)


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective_of(cache: ResultCache | None = None) -> HardwareAwareObjective[Cell]:
    setup = EvaluationSetup(SPACE, image_task(7, (3, 16, 16)), batch_size=4, seed=0)
    objectives = make_objectives(setup, ["layers"], ["count:macs"])
    bounds = make_constraints(setup, ["params<=1e6"], objectives)
    return HardwareAwareObjective(Evaluator(SPACE, objectives, bounds, cache=cache))


def study_of(objective: HardwareAwareObjective[Cell]) -> optuna.Study:
    sampler = HardwareAwareSampler(SPACE, strategy="random-search")
    study = optuna.create_study(directions=objective.directions, sampler=sampler)
    objective.describe(study)
    return study


def test_threads_share_a_cache(tmp_path: Path) -> None:
    with ResultCache(tmp_path / "results.sqlite") as cache:
        objective = objective_of(cache)
        study = study_of(objective)
        study.optimize(objective, n_trials=8, n_jobs=4)
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
        assert len(cache) == 8


@pytest.mark.parametrize("cached", [False, True])
def test_an_objective_works_in_another_process(cached: bool, tmp_path: Path) -> None:
    with ResultCache(tmp_path / "results.sqlite" if cached else None) as cache:
        objective = objective_of(cache)
        sent: HardwareAwareObjective[Cell] = pickle.loads(pickle.dumps(objective))
        study = study_of(sent)
        study.optimize(sent, n_trials=2)
        expected = study_of(objective)
        expected.optimize(objective, n_trials=2)
        assert [trial.values for trial in study.trials] == [t.values for t in expected.trials]
        sent.evaluator._cache.close()


def test_threads_read_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(objective_of())
    for finished in (True, True, True, False, False):
        trial = study.ask()
        for name, choices in SPACE.parameters.items():
            trial.suggest_categorical(name, choices)
        if finished:
            study.tell(trial, (1.0, 1.0))
    reader, both, arch = TrialReader(SPACE), threading.Barrier(2), TrialReader.arch

    def slowly(self: TrialReader[Cell], trial: FrozenTrial) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return arch(self, trial)

    monkeypatch.setattr(TrialReader, "arch", slowly)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(reader.classes, study) for _ in range(2)]
    expected = Counter(SPACE.canonical_key(SPACE.decode(t.params)) for t in study.trials)
    assert [call.result() for call in calls] == [expected, expected]
