"""Studies that a user has already: their fronts, and what hwnas's sampler makes of their trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from torch import nn

from hwnas.cli import main
from hwnas.errors import InvalidValueError
from hwnas.pareto import ParetoSet
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.nasbench201 import NasBench201
from hwnas_optuna import HardwareAwareSampler
from hwnas_optuna.storage import open_storage


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def build(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 8, 256, log=True)
    drop = trial.suggest_float("drop", 0.0, 0.5)
    slope = trial.suggest_float("slope", 1e-3, 0.3, log=True)
    layers = [nn.Linear(4, width), nn.Dropout(drop), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def size(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("rate", 0.1, 1.0)
    return rate * sum(p.numel() for p in build(trial).parameters())


def test_trials_of_another_sampler_are_a_front_and_a_history() -> None:
    space = FunctionSpace(build, (4,), 3)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(size, n_trials=6)
    widths = [trial.params["width"] for trial in study.trials]
    assert not set(widths) <= set(space.parameters["width"])
    front = ParetoSet.from_study(study, space=space)
    assert front.provenance["evaluated"] == 6
    [member] = front.members
    assert space.encode(space.parse(member.arch)).items() <= study.best_params.items()

    sampler = HardwareAwareSampler(space, strategy="pareto-evolution")
    study.sampler = sampler
    study.enqueue_trial({"width": 23})
    study.optimize(size, n_trials=3)
    assert study.trials[6].params["width"] == 23
    trial = study.ask()
    history = sampler._trials.history(study, study.trials[-1], 0)
    assert [space.encode(arch)["width"] for arch in history.archs][:6] == widths
    assert trial.suggest_int("width", 8, 256, log=True) in space.parameters["width"]


def narrow(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 8, 256, log=True)
    bias = trial.suggest_categorical("bias", [False, True])
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3, bias))


def test_a_number_between_those_of_a_listed_space_may_be_queued() -> None:
    space = FunctionSpace(narrow, (4,), 3)
    assert space.members(256) is not None
    study = optuna.create_study(sampler=HardwareAwareSampler(space))
    study.enqueue_trial({"width": 23})
    study.optimize(lambda t: sum(p.numel() for p in narrow(t).parameters()), n_trials=3)
    assert study.trials[0].params["width"] == 23
    assert all(trial.params["width"] in space.parameters["width"] for trial in study.trials[1:])


def test_what_a_pruner_stopped_is_pruned_and_not_infeasible() -> None:
    space = NasBench201(channels=4, cells=1)

    def objective(trial: optuna.Trial) -> float:
        names = space.parameters
        for name, choices in names.items():
            trial.suggest_categorical(name, choices)
        trial.set_constraint("even", float(trial.number % 2))
        trial.report(0.0, 0)
        if trial.number >= 2:
            raise optuna.TrialPruned
        return float(trial.number)

    study = optuna.create_study()
    study.optimize(objective, n_trials=5)
    front = ParetoSet.from_study(study, space=space)
    statuses = [row.status for row in front.evaluated]
    assert statuses == ["complete", "infeasible", "pruned", "infeasible", "pruned"]
    assert (front.provenance["infeasible"], front.provenance["pruned"]) == (2, 2)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, capsys.readouterr().err


def test_the_commands_show_and_export_a_study_of_the_user_s_by_its_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, text = f"sqlite:///{tmp_path / 'mine.db'}", "nasbench201:channels=4,cells=1"
    space = NasBench201(channels=4, cells=1)

    def objective(trial: optuna.Trial) -> float:
        names = space.parameters
        cell = {name: trial.suggest_categorical(name, names[name]) for name in names}
        return float(space.decode(cell).operations.count("none"))

    study = optuna.create_study(storage=open_storage(storage), study_name="mine")
    study.optimize(objective, n_trials=4)
    code, told = run(capsys, "pareto", "show", storage)
    assert code == 2
    assert "has no study 'hwnas', but 'mine'." in told
    code, told = run(capsys, "pareto", "show", storage, "--study", "mine")
    assert code == 2
    assert "--space MODULE:FUNCTION:input=3x32x32,classes=10" in told
    named = [storage, "--study", "mine", "--space", text]
    code, told = run(capsys, "pareto", "show", *named)
    assert code == 0
    assert "4 evaluated" in told
    out = tmp_path / "front"
    assert run(capsys, "pareto", "export", *named, "--json-file", "--out", str(out))[0] == 0
    front = ParetoSet.load(out / "front.json")
    assert front.space == repr(space)
    sizes = ["--classes", "7", "--input", "3,8,8"]
    code, told = run(capsys, "pareto", "export", *named, "--artifacts", *sizes, "--out", str(out))
    assert code == 0, told
    assert f"Files of {len(front)} trials are in" in told


def test_why_parameters_make_no_architecture_is_told() -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_int("width", 300, 400), n_trials=1)
    with pytest.raises(
        InvalidValueError, match=r"of trial 0, \{'width': \d+\}, for `width` must be"
    ):
        ParetoSet.from_study(study, space=FunctionSpace(build, (4,), 3))
