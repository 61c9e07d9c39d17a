"""A front made in Python says what it was made for: it is exported and verified without options."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import optuna
import pytest

from hwnas.cli import main
from hwnas.costs.counters import CounterCost
from hwnas.costs.measured import RuntimeCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.evaluation.origin import origin
from hwnas.files.grammar import split_constraint
from hwnas.functions.search import search
from hwnas.pareto import ParetoSet
from hwnas.pareto.uncertainty import LEVEL_95
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import (
    EvaluationSetup,
    make_constraints,
    make_objectives,
    recorded_task,
)
from hwnas.tasks.task import image_task
from hwnas.typing import DeviceKey
from hwnas_optuna import HardwareAwareObjective
from hwnas_optuna.describing import ORIGIN
from hwnas_predictors.transfer import TransferPredictor

SPACE = NasBench201(channels=4, cells=1)
TASK = image_task(7, (3, 16, 16), "mine")


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["pareto", *map(str, argv)])
    assert isinstance(end.value.code, int)
    return end.value.code


def predictor(folder: Path) -> Path:
    pool = TransferPredictor.shipped(NasBench201())
    archs = pool.choose_support(10)
    latency_ms = [1.0 + sum(len(o) for o in arch.operations) / 10 for arch in archs]
    pool.adapt(archs, latency_ms, DeviceKey("mine")).save(folder / "mine.npz")
    return folder / "mine.npz"


def study_of(evaluator: Evaluator[Any], trials: int, **settings: Any) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = HardwareAwareObjective(evaluator)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=objective.directions, sampler=sampler, **settings)
    objective.describe(study)
    study.optimize(objective, n_trials=trials)
    return study


def test_a_front_of_ones_own_study_is_exported_without_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = EvaluationSetup(SPACE, TASK, batch_size=4, seed=5)
    objectives = make_objectives(setup, ["naswot"], ["count:macs"])
    constraints = make_constraints(setup, ["params<=1e6"], objectives)
    front = ParetoSet.from_study(study_of(Evaluator(SPACE, objectives, constraints), 6))
    assert recorded_task(front.provenance) == TASK
    assert front.provenance["seed"] == 5
    assert [c["objective"] for c in front.provenance["costs"]] == ["macs"]
    assert front.provenance["settings"] == {
        "constraints": ["params<=1000000.0"], "batch": 4, "images": "gaussian"
    }  # fmt: skip
    front.save(tmp_path / "front.json")
    assert run("export", tmp_path, "--onnx", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["architecture"] for row in rows] == [member.arch for member in front.members]
    graph = onnx.load(rows[0]["file"]).graph
    sizes = [d.dim_value for value in (graph.input[0], graph.output[0])
             for d in value.type.tensor_type.shape.dim]  # fmt: skip
    assert sizes == [1, 3, 16, 16, 1, 7]


def test_a_predictor_that_was_written_anew_is_another_one(tmp_path: Path) -> None:
    text = f"predictor:{predictor(tmp_path)}"

    def searched(trials: int) -> ParetoSet:
        out = tmp_path / "out"
        return search(objectives="layers", costs=text, trials=trials, out=out, note=print)

    setup = EvaluationSetup(NasBench201(), image_task(10, (3, 32, 32), "cifar10"), batch_size=4)

    def objective() -> HardwareAwareObjective[Any]:
        objectives = make_objectives(setup, ["layers"], [text])
        return HardwareAwareObjective(Evaluator(setup.space, objectives))

    study = study_of(objective().evaluator, 2)
    objective().describe(study)
    searched(2)
    searched(3)
    pool = TransferPredictor.shipped(NasBench201())
    archs = pool.choose_support(10)
    pool.adapt(archs, [9.0 - i / 2 for i in range(10)], DeviceKey("mine")).save(
        tmp_path / "mine.npz"
    )
    with pytest.raises(InvalidValueError, match="mine_latency_ms has changed since"):
        searched(4)
    with pytest.raises(InvalidValueError, match="sha256"):
        objective().describe(study)
    stored = study.user_attrs[ORIGIN]
    (cost,) = stored["costs"]
    del cost["provenance"]  # as earlier versions described predictors
    study.set_user_attr(ORIGIN, stored)
    objective().describe(study)


def test_a_predicted_front_of_ones_own_study_is_verified_without_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = EvaluationSetup(NasBench201(), image_task(10, (3, 32, 32), "cifar10"), batch_size=16)
    objectives = make_objectives(setup, ["layers"], [f"predictor:{predictor(tmp_path)}"])
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = study_of(Evaluator(setup.space, objectives), 8, storage=storage, study_name="mine")
    front = ParetoSet.from_study(study)
    values, cost = front.values()[:, 1], objectives[1].source.cost  # type: ignore[attr-defined]
    stds = cost.predict_std([setup.space.parse(m.arch) for m in front.members])
    for member, std in zip(front.members, stds, strict=True):
        assert member.attributes["mine_latency_ms_std"] == pytest.approx(std)
        alike = [
            place
            for place, (other, value, deviation) in enumerate(
                zip(front.members, values, stds, strict=True), start=1
            )
            if other is not member
            and abs(value - member.values[1]) <= LEVEL_95 * math.hypot(std, deviation)
        ]
        assert member.attributes["mine_latency_ms_not_distinguishable"] == alike
    front.save(tmp_path / "front.json")
    given = tmp_path / "m.csv"
    given.write_text("arch,latency_ms\n" + "".join(f"{m.arch},4.5\n" for m in front.members))
    assert run("verify", tmp_path, "--measurements", given, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["predicted"] for line in lines] == pytest.approx(values.tolist())
    assert [line["std"] for line in lines] == pytest.approx(stds.tolist())
    stored = [storage, "--study", "mine", "--measurements", given, "--out", tmp_path / "out"]
    assert run("verify", *stored, "--json") == 0


def test_the_task_is_that_of_what_is_built_or_of_the_table() -> None:
    macs = cost_objective(SPACE, CounterCost(SPACE, "macs", TASK))
    latency = cost_objective(SPACE, RuntimeCost(SPACE))
    assert origin(Evaluator(SPACE, [macs]))["dataset"] == {
        "name": "mine", "num_classes": 7, "in_shape": [3, 16, 16]
    }  # fmt: skip
    found = origin(Evaluator(SPACE, [latency]))
    assert found["dataset"]["name"] == SPACE.default_task.name
    assert found["costs"][0]["device"].startswith("cpu/onnxruntime-")
    assert "fingerprint" in found["costs"][0]
    assert "seed" not in found


def test_constraints_are_written_as_they_are_read() -> None:
    setup = EvaluationSetup(SPACE, TASK)
    objectives = make_objectives(setup, ["params"], ["count:macs"])
    bounds = make_constraints(setup, ["macs<=3.0000000001e6", "layers>=2"], objectives)
    texts = origin(Evaluator(SPACE, objectives, bounds))["settings"]["constraints"]
    assert [split_constraint(text) for text in texts] == [
        ("macs", "<=", 3.0000000001e6), ("layers", ">=", 2.0)
    ]  # fmt: skip


def test_a_study_of_another_library_is_refused() -> None:
    with pytest.raises(
        InvalidValueError, match=r"must be a study of Optuna, but got a types\.Simple"
    ):
        ParetoSet.from_study(SimpleNamespace(trials=[]))
