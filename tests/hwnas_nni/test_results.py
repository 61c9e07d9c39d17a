"""Results are read without NNI: an experiment's data base is SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import hwnas
from hwnas.cli import main
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.pareto import ParetoSet

OBJECTIVES: Any = {"gain": "maximize", "cost": "minimize"}
# As NNI 3.0 makes them.
TABLES = """
CREATE TABLE TrialJobEvent (timestamp integer, trialJobId text, event text, data text,
    logPath text, sequenceId integer, message text, environmentId text);
CREATE TABLE MetricData (timestamp integer, trialJobId text, parameterId text, type text,
    sequence integer, data text);
"""


def experiment(folder: Path, trials: list[tuple[Any, str, Any]]) -> Path:
    """Write (parameters, last event, metrics) as NNI does: packed twice."""
    (folder / "db").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "db" / "nni.sqlite")) as db, db:
        db.executescript(TABLES)
        for i, (parameters, event, metrics) in enumerate(trials):
            data = json.dumps({"parameter_id": i, "parameters": parameters})
            rows = [(i, f"t{i}", "RUNNING", data), (i + 50, f"t{i}", event, None)]
            for time, trial, what, content in rows[: 1 if event == "RUNNING" else 2]:
                db.execute(
                    "INSERT INTO TrialJobEvent VALUES (?, ?, ?, ?, '', ?, NULL, '')",
                    (time, trial, what, content, i),
                )
            if metrics is not None:
                db.execute(
                    "INSERT INTO MetricData VALUES (?, ?, ?, 'FINAL', 0, ?)",
                    (i, f"t{i}", str(i), json.dumps(json.dumps(metrics))),
                )
    return folder


def test_the_front_of_an_experiment_that_has_ended(tmp_path: Path) -> None:
    folder = experiment(
        tmp_path / "ab12",
        [
            ({"x": 1}, "SUCCEEDED", {"default": 3, "gain": 3, "cost": 2, "time": 7}),
            ({"x": 2}, "SUCCEEDED", {"default": 2, "gain": 2, "cost": 2}),
            ({"x": 3}, "SUCCEEDED", {"default": 1, "gain": 1, "cost": 1}),
            ({"x": 4}, "FAILED", None),
            ({"x": 5}, "SUCCEEDED", {"default": 9, "infeasible": 1}),
            ({"x": 6}, "RUNNING", None),
        ],
    )
    front = ParetoSet.from_nni(folder, OBJECTIVES)
    assert [(m.arch, tuple(m.values)) for m in front.members] == [
        ('{"x": 1}', (3.0, 2.0)),
        ('{"x": 3}', (1.0, 1.0)),
    ]
    counts = {name: front.provenance[name] for name in ("evaluated", "failed", "infeasible")}
    assert counts == {"evaluated": 5, "failed": 1, "infeasible": 1}
    assert front.members[0].attributes["time"] == 7
    assert front.provenance["experiment"] == "ab12"
    front.save(tmp_path / "front.json")
    assert ParetoSet.load(tmp_path / "front.json").members == front.members


def test_metrics_belong_to_parameters_whichever_trial_ran_them(tmp_path: Path) -> None:
    trials = [({"x": i}, "SUCCEEDED", {"default": i, "gain": i, "cost": 5}) for i in range(2)]
    folder = experiment(tmp_path / "e", trials)
    # As NNI does it: trial 0 is on record with parameters 0, and reports for parameters 1.
    with closing(sqlite3.connect(folder / "db" / "nni.sqlite")) as db, db:
        db.execute("UPDATE MetricData SET trialJobId = 't' || (1 - parameterId)")
    (member,) = ParetoSet.from_nni(folder, OBJECTIVES).members
    assert (member.arch, member.values) == ('{"x": 1}', (1.0, 5.0))


def test_parameters_that_are_counted_anew_keep_their_metrics(tmp_path: Path) -> None:
    trials = [({"x": i}, "SUCCEEDED", {"default": i, "gain": i, "cost": i}) for i in range(4)]
    folder = experiment(tmp_path / "e", trials)
    # A resumed manager may begin again: trials 2 and 3 have the numbers of 0 and 1.
    with closing(sqlite3.connect(folder / "db" / "nni.sqlite")) as db, db:
        db.execute("UPDATE MetricData SET parameterId = parameterId % 2")
        for i in (2, 3):
            data = json.dumps({"parameter_id": i % 2, "parameters": {"x": i}})
            db.execute(
                "UPDATE TrialJobEvent SET data = ? WHERE trialJobId = ? AND data IS NOT NULL",
                (data, f"t{i}"),
            )
    front = ParetoSet.from_nni(folder, OBJECTIVES)
    assert {(e.arch, e.values) for e in front.evaluated} == {
        (json.dumps({"x": i}), (float(i), float(i))) for i in range(4)
    }


def test_a_single_number_is_the_objective_default(tmp_path: Path) -> None:
    trials = [({"x": i}, "SUCCEEDED", float(i)) for i in range(3)]
    front = ParetoSet.from_nni(experiment(tmp_path / "e", trials), {"default": "maximize"})
    assert [m.values for m in front.members] == [(2.0,)]


def model(*args: Any, operation: str = "conv_3x3", **kwargs: Any) -> dict[str, Any]:
    sample = {f"cell/{s}_{t}": operation for t in (1, 2, 3) for s in range(t)}
    symbol = {"__nni_type__": "path:nni.nas.hub.pytorch.nasbench201.NasBench201"}
    return {
        "model_symbol": symbol,
        "model_args": list(args),
        "model_kwargs": kwargs,
        "sample": sample,
    }


def test_models_of_the_hubs_nasbench201_are_cells(tmp_path: Path) -> None:
    metrics = {"default": 1, "gain": 1, "cost": 1}
    one = experiment(tmp_path / "one", [(model(8, num_modules_per_stack=2), "SUCCEEDED", metrics)])
    front = ParetoSet.from_nni(one, OBJECTIVES)
    assert str(front.space) == "NasBench201(channels=8, cells=2)"
    assert front.members[0].arch == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
        "|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    # Two networks of different width are no cells of one space.
    two = [(model(8), "SUCCEEDED", metrics), (model(16), "SUCCEEDED", metrics)]
    front = ParetoSet.from_nni(experiment(tmp_path / "two", two), OBJECTIVES)
    assert json.loads(front.members[0].arch)["cell/0_1"] == "conv_3x3"


def function_model(width: int, **evaluator: Any) -> dict[str, Any]:
    """Give a model as NNI 3.0 writes it on a training service."""
    return {
        "model_symbol": {"__nni_type__": "path:hwnas_nni.functions.FunctionModelSpace"},
        "model_args": [],
        "model_kwargs": {"function": "nets_for_nni_file:build", "input": [1, 8, 8], "classes": 3},
        "evaluator": {
            "__symbol__": "path:hwnas_nni.evaluator.ObjectivesEvaluator",
            "__kwargs__": {"objectives": ["naswot"], "costs": ["count:macs"], **evaluator},
        },
        "sample": {"width": width, "absent": 1},
    }


NETS = """
from torch import nn

def build(trial):
    width = trial.suggest_int("width", 2, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 3))
"""


def test_models_of_a_function_are_exported_and_verified_without_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    latency = "torch_cpu_latency_ms"
    found = {"default": 1, "gain": 1, latency: 1}
    ways: Any = {"gain": "maximize", latency: "minimize"}
    trials = [(function_model(width, seed=3), "SUCCEEDED", found) for width in (4, 5)]
    front = ParetoSet.from_nni(experiment(tmp_path / "e", trials), ways)
    assert front.space == "nets_for_nni_file:build:input=1x8x8,classes=3"
    assert front.provenance["dataset"] == {
        "name": "1x8x8:3",
        "num_classes": 3,
        "in_shape": [1, 8, 8],
    }
    settings = front.provenance["settings"]
    assert (settings["objectives"], settings["batch"], settings["seed"]) == (["naswot"], 16, 3)
    front.save(tmp_path / "front.json")
    (tmp_path / "nets_for_nni_file.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    own = ["--model", "nets_for_nni_file:build"]
    assert run("pareto", "export", "front.json", "--onnx", "--out", "all") == 2
    assert "add --space nets_for_nni_file:build" in capsys.readouterr().err
    assert run("pareto", "export", "front.json", "--onnx", "--out", "all", *own) == 0
    assert len([*(tmp_path / "all/onnx").glob("*.onnx")]) == len(front) == 2
    cost = ["--cost", "torch:cpu:latency:max_seconds=0.02", "--objective", latency]
    assert run("pareto", "verify", "front.json", "--out", "verified", *own, *cost) == 0


def test_a_network_is_compared_with_a_front_whose_scores_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("search", "settings"):
        monkeypatch.setattr(f"hwnas.study.{module}.score_versions", lambda _: {"layers": 2})
    ways: Any = {"layers": "maximize", "macs": "minimize"}
    models = [function_model(width, objectives=["layers"]) for width in (4, 5)]
    trials = [(each, "SUCCEEDED", {"default": 1, "layers": 2, "macs": 9}) for each in models]
    front = ParetoSet.from_nni(experiment(tmp_path / "e", trials), ways)
    (tmp_path / "nets_for_nni_file.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    mine = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert hwnas.with_baseline(front, mine).baseline == hwnas.Baseline("Sequential", (1.0, 192.0))


def test_a_file_that_says_no_task_says_in_one_line_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"default": 1, "gain": 1, "cost": 1}
    folder = experiment(tmp_path / "one", [(model(4), "SUCCEEDED", found)])
    ParetoSet.from_nni(folder, OBJECTIVES).save(tmp_path / "front.json")
    out = ["--out", str(tmp_path / "all")]
    assert run("pareto", "export", str(tmp_path / "front.json"), "--onnx", *out) == 2
    assert "`--classes` and `--input` must be given, e.g. --classes 10" in capsys.readouterr().err


def test_networks_of_other_model_spaces_are_nni_s_to_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = experiment(tmp_path / "e", [({"x": 1}, "SUCCEEDED", {"gain": 1, "cost": 1})])
    ParetoSet.from_nni(folder, OBJECTIVES).save(tmp_path / "front.json")
    assert (
        run("pareto", "export", str(tmp_path / "front.json"), "--out", str(tmp_path / "all")) == 2
    )
    told = capsys.readouterr().err
    assert "is a model space of NNI, parameters of an NNI experiment: NNI builds them" in told
    out = ["--report", "--json-file", "--out", str(tmp_path / "part")]
    assert run("pareto", "export", str(tmp_path / "front.json"), *out) == 0


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_what_is_no_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="there is no"):
        ParetoSet.from_nni(tmp_path / "nowhere", OBJECTIVES)
    (tmp_path / "text").write_text("no data base at all, whatever is written here. " * 100)
    with pytest.raises(DataFormatError, match="data base of NNI"):
        ParetoSet.from_nni(tmp_path / "text", OBJECTIVES)
    with closing(sqlite3.connect(tmp_path / "empty")) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(DataFormatError, match="no such table"):
        ParetoSet.from_nni(tmp_path / "empty", OBJECTIVES)
    with pytest.raises(InvalidValueError, match="`objectives` must be given"):
        ParetoSet.from_nni(tmp_path / "text")
    with pytest.raises(InvalidValueError, match="no ParetoStrategy"):
        ParetoSet.from_nni(object())


def test_an_objective_that_no_trial_reported_is_told(tmp_path: Path) -> None:
    trials = [({"x": 1}, "SUCCEEDED", {"default": 3, "gain": 3}), ({"x": 2}, "FAILED", None)]
    folder = experiment(tmp_path / "e", trials)
    with pytest.raises(InvalidValueError, match="reported, default, gain, but got accuracy"):
        ParetoSet.from_nni(folder, {"gain": "maximize", "accuracy": "maximize"})
    least = [({"x": 1}, "SUCCEEDED", {"default": 0, "infeasible": 1}), ({"x": 2}, "FAILED", None)]
    nothing = experiment(tmp_path / "none", least)
    assert not len(ParetoSet.from_nni(nothing, {"accuracy": "maximize"}))
