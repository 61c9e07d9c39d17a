"""Networks that return several tensors, as detectors do, from a score to an export."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import optuna
import pytest
import torch
from torch import Tensor, nn

import hwnas
from hwnas.cli import main
from hwnas.onnx_export.export import export_onnx
from hwnas.tasks.task import AllOutputs, Regression, Task, TensorSpec

SHAPE = (3, 16, 16)
DETECTOR = """
from torch import nn


class Detector(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU())
        self.heads = nn.ModuleList([nn.Conv2d(width, 6, 1), nn.Conv2d(2 * width, 6, 1)])

    def forward(self, x):
        near = self.stem(x)
        return {"near": self.heads[0](near), "far": self.heads[1](self.deep(near))}


def build(trial):
    return Detector(trial.suggest_int("width", 4, 12, step=4))


def present():
    return Detector(8)
"""


class Pair(nn.Module):
    def __init__(self, joined: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.joined = joined
        self.stem, self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        y = self.stem(x).relu()
        parts = self.a(y), self.b(y.mean((2, 3)))
        return torch.cat([part.flatten(1) for part in parts], 1) if self.joined else parts


def test_scores_are_those_of_the_network_that_joins_its_outputs_itself() -> None:
    names = ["params", "flops", "jacob_cov", "synflow", "grad_norm", "snip", "meco", "zico"]
    several, joined = Pair(False), Pair(True)
    found = hwnas.score(several, SHAPE, names, output="all", batch_size=8)
    targets = joined(torch.zeros(1, *SHAPE)).shape[1]
    task = Task("numbers", TensorSpec(SHAPE), Regression(targets))
    assert found.errors == {}
    assert dict(found) == dict(hwnas.score(joined, task, names, batch_size=8))
    told = Task("all", TensorSpec(SHAPE), AllOutputs())
    assert dict(found) == dict(hwnas.score(several, told, names, batch_size=8))


def test_labels_of_images_are_of_one_answer_and_left_out(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    found = []
    known: tuple[dict[str, Any], ...] = ({}, {"labels": np.arange(8) % 3})
    for number, labels in enumerate(known):
        np.savez(tmp_path / f"{number}.npz", images=pixels, **labels)
        images = str(tmp_path / f"{number}.npz")
        scores = hwnas.score(
            Pair(False), SHAPE, "grad_norm", images=images, output="all", batch_size=8
        )
        found.append(scores["grad_norm"])
    assert found[0] == found[1]


def test_targets_fit_a_network_that_returns_less_in_training_mode() -> None:
    class Detecting(Pair):
        def forward(self, x: Tensor) -> Any:
            parts = super().forward(x)
            return parts if self.training else (torch.cat([p.flatten(1) for p in parts], 1), parts)

    found = hwnas.score(Detecting(False), SHAPE, ["grad_norm", "zico"], output="all", batch_size=8)
    assert found.errors == {}


def test_a_state_as_long_as_the_batch_is_of_no_input() -> None:
    class Stateful(Pair):
        def forward(self, x: Tensor) -> Any:
            parts = super().forward(x)
            return parts if self.joined else (*parts, parts[1].repeat(2, 1)[:2])

    for size in (2, 3):
        found = [
            dict(hwnas.score(network, SHAPE, "grad_norm", output="all", batch_size=size))
            for network in (Stateful(False), Stateful(True))
        ]
        assert found[0] == found[1]


def test_a_profile_is_of_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[onnx.ModelProto] = []

    def noted(*arguments: Any, **settings: Any) -> onnx.ModelProto:
        made.append(export_onnx(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr("hwnas.runtimes.lowering.export_onnx", noted)
    for output, products in (("all", 1), (0, 0)):
        found = hwnas.profile(Pair(False), SHAPE, output=output, max_seconds=0.02, reference=False)
        assert found.measurement.relative_error < 1e-4
        assert [node.op_type for node in made[-1].graph.node].count("Gemm") == products


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("detector_of_tests.py").write_text(DETECTOR)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    return int(stopped.value.code or 0)


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("images", [True, False])
def test_a_search_ends_in_networks_with_all_their_outputs(images: bool) -> None:
    own = ["--model", "detector_of_tests:build"]
    what = ["--input", "3,16,16", "--classes", "outputs"]
    if images:
        pixels = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
        np.savez("photos.npz", images=pixels)
        what = ["--images", "photos.npz", "--classes", "outputs"]
    asked = ["--objective", "grad_norm", "--cost", "count:macs", "--batch", "4", "--trials", "3"]
    baseline = ["--baseline", "detector_of_tests:present"]
    assert run("search", *own, *what, *asked, *baseline) == 0
    assert run("search", *own, *what, *asked) == 0
    front = hwnas.ParetoSet.load("hwnas-results/front.json")
    for member in front.members:
        w = json.loads(member.arch)["width"]
        assert member.values[1] == 64 * (27 * w + 6 * w) + 16 * (18 * w * w + 12 * w)
    assert run("pareto", "export", "hwnas-results", *own) == 0
    for file in Path("hwnas-results/onnx").glob("*.onnx"):
        outputs = {
            o.name: [d.dim_value for d in o.type.tensor_type.shape.dim]
            for o in onnx.load(file).graph.output
        }
        assert outputs == {"near": [1, 6, 8, 8], "far": [1, 6, 4, 4]}
    folder = next(Path("hwnas-results/code").glob("001-*"))
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.build()
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    assert list(network(torch.zeros(1, *SHAPE))) == ["near", "far"]
    assert not Path("hwnas-results/code/train.py").exists()


@pytest.mark.usefixtures("detector")
def test_labels_say_nothing_of_all_outputs() -> None:
    images = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
    np.savez("photos.npz", images=images, labels=[0, 1, 2, 0])
    np.savez("bare.npz", images=images)
    asked = ["--classes", "outputs", "--objective", "grad_norm", "--cost", "count:macs"]
    found = []
    for name in ("photos", "bare"):
        what = ["--images", f"{name}.npz", "--batch", "4", "--trials", "2", "--out", name]
        assert run("search", "--model", "detector_of_tests:build", *what, *asked) == 0
        front = hwnas.ParetoSet.load(f"{name}/front.json")
        found.append([(m.arch, m.values) for m in front.members])
    assert found[0] == found[1]
    assert run("pareto", "export", "photos", "--model", "detector_of_tests:build") == 0


def test_the_number_is_the_networks_own() -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Linear(4, trial.classes)

    with pytest.raises(hwnas.InvalidValueError, match="--classes outputs does not say a number"):
        hwnas.search(build, input=4, classes="outputs", trials=1)


def test_a_study_of_ones_own_takes_them() -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("width", 4, 8)
        return hwnas.score(Pair(False), SHAPE, "params", output="all", batch_size=4)["params"]

    study = optuna.create_study()
    study.optimize(objective, n_trials=1)
    assert study.best_value == 3 * 4 * 9 + 4 + 4 * 2 + 2 + 4 * 5 + 5
