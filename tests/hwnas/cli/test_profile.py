"""The command ``hwnas profile``, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from onnx import TensorProto, helper
from torch import nn

from hwnas.cli import _run
from hwnas.cli.profile import _told, profile
from hwnas.cli.profiling import _processes
from hwnas.measure import isolation, strict
from hwnas.measure.limits import Limits
from hwnas.measure.rounds import Length
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task

ARCH = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
MODELS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)

    def forward(self, x):
        return self.conv(x)

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Linear(4, 3), nn.Linear(4, 7)

    def forward(self, x):
        features = x.flatten(1)
        return {"near": self.near(features), "far": self.far(features)}

class NeedsBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x):
        return self.norm(x.flatten(1))

def text():
    return nn.Embedding(200, 4)

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

def without_values():
    with torch.device("meta"):
        return Net()

class Signal(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 5)

    def forward(self, x):
        return self.conv(x).mean(2)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)

    def forward(self, x):
        return self.embedding(x).mean(1)


class Orthogonal(Net):
    def forward(self, x):
        return torch.linalg.det(x) + self.conv(x).sum()
"""

app = typer.Typer()
app.command("profile")(profile)


def run(*arguments: str) -> int:
    return _run(app, [*arguments, "--max-seconds", "0.05"])


def json_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "profile_models_for_test.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--space", "nasbench201", "--arch", ARCH, "--dataset", "cifar100", "--json") == 0
    row = json_line(capsys)
    network = NasBench201().build(NasBench201().parse(ARCH), get_task("cifar100"))
    assert row["params"] == sum(p.numel() for p in network.parameters())
    assert (row["space"], row["architecture"]) == ("nasbench201", ARCH)
    assert 0 < row["latency_ms"] <= row["p95_ms"]
    assert row["flops"] == 2 * row["macs"] > 0
    assert row["peak_memory_bytes"] > 4 * 3 * 32 * 32
    assert (row["provider"], row["threads"], row["batch"]) == ("cpu", 1, 1)
    assert {"iqr_ms", "runs", "converged", "device", "versions", "clock"} <= set(row)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "given", "params"),
    [("Signal", ["--input", "2,30"], 33), ("Tokens", ["--input", "7", "--classes", "4,9"], 36)],
)
def test_own_models_of_signals_and_of_tokens(
    name: str,
    given: list[str],
    params: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit = ("--limit-seconds", "300")
    assert run("--model", f"profile_models_for_test:{name}", *given, *limit, "--json") == 0
    row = json_line(capsys)
    assert row["params"] == params
    assert row["latency_ms"] > 0


@pytest.mark.usefixtures("folder")
def test_own_model_with_an_image_shape(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "profile_models_for_test:Net", "--input", "1,5,6", "--json"]
    assert run(*arguments, "--batch", "3", "--threads", "2") == 0
    row = json_line(capsys)
    assert row["model"] == "profile_models_for_test:Net"
    assert (row["params"], row["macs"]) == (18, 9 * 2 * 3 * 4)
    assert (row["batch"], row["threads"], row["clock"]) == (3, 2, "wall")


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_unknown_macs_are_null_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "profile_models_for_test:Orthogonal", "--input", "1,5,5", "--json") == 0
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert row["macs"] is None
    assert row["flops"] is None
    assert "there is no formula for _linalg_det" in captured.err


def test_onnx_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    export_onnx(nn.Conv2d(1, 2, 3), (1, 5, 6), path, batch=4)
    assert run("--onnx", str(path), "--json") == 0
    row = json_line(capsys)
    assert (row["onnx"], row["batch"], row["macs"]) == (str(path), 4, None)
    export_onnx(nn.Conv2d(1, 2, 3), (1, 5, 6), path, dynamic_batch=True)
    assert run("--onnx", str(path), "--batch", "2", "--input", "1,5,6") == 0
    table = capsys.readouterr().out
    assert "latency_ms" in table
    assert "onnxruntime" in table


@pytest.mark.usefixtures("folder")
def test_int8_with_images_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "own.npz", images=np.ones((40, 1, 5, 6), np.float32))
    arguments = ["--model", "profile_models_for_test:Net", "--json"]  # the images say the shape
    arguments += ["--precision", "int8", "--images", "own.npz", "--option"]
    assert run(*arguments, "spinning=off") == 0
    row = json_line(capsys)
    assert (row["precision"], row["calibrated_with"]) == ("int8", "32 images, own.npz")
    assert row["runtime"].endswith("[spinning=off]")
    assert 0 < row["correlation"] <= 1
    for wrong in ("spinning", "=off", "spinning="):
        assert run(*arguments, wrong) == 2
        assert "`--option` must be NAME=VALUE" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_tokens_of_ones_own_say_their_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = np.arange(200).reshape(40, 5)
    np.savez(tmp_path / "text.npz", inputs=tokens, labels=tokens[:, 0] % 2)
    arguments = ["--model", "profile_models_for_test:text", "--images", "text.npz"]
    assert run(*arguments, "--json") == 0
    assert json_line(capsys)["params"] == 200 * 4
    assert run(*arguments[:2], "--input", "5") == 2
    assert "It takes tokens: give their vocabulary" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_images_without_labels_leave_a_space_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "bare.npz", images=np.ones((40, 3, 32, 32), np.float32))
    assert run("--arch", ARCH, "--json", "--max-seconds", "0.1") == 0
    params = json_line(capsys)["params"]
    assert run("--arch", ARCH, "--images", "bare.npz", "--json", "--max-seconds", "0.1") == 0
    assert json_line(capsys)["params"] == params


@pytest.mark.usefixtures("folder")
def test_torch_runs_what_onnx_runtime_runs(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "profile_models_for_test:Net", "--input", "1,5,6", "--json"]
    assert run(*arguments, "--runtime", "torch", "--batch", "3") == 0
    row = json_line(capsys)
    assert row["runtime"] == f"torch-{torch.__version__}"
    assert (row["batch"], row["provider"], row["precision"]) == (3, "cpu", "float32")
    assert row["versions"]["torch"] == torch.__version__
    assert row["relative_error"] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "must be given, but got none"),
        (["--arch", ARCH, "--onnx", "m.onnx"], "but got --arch and --onnx"),
        (["--space", "nasbench201", "--model", "a:b"], "`--space` must be given with --arch"),
        (["--arch", "nonsense"], "must have 3 nodes"),
        (["--space", "nasbench210", "--arch", ARCH], "Did you mean 'nasbench201'"),
        (["--arch", ARCH, "--dataset", "cifar"], "`dataset` must be one of"),
        (["--arch", ARCH, "--input", "3,33,33"], "`in_shape` must be"),
        (["--arch", ARCH, "--input", "3x32x32"], "`input` must be C,H,W"),
        (["--arch", ARCH, "--provider", "quantum"], "`provider` must be one of"),
        (
            ["--arch", ARCH, "--clock", "sun"],
            "must be one of auto, cpu, events, wall, but got 'sun'",
        ),
        (["--arch", ARCH, "--clock", "cpu", "--threads", "2"], "`meter` must see all of the work"),
        (["--arch", ARCH, "--runtime", "torsh"], "Did you mean 'torch'"),
        (["--arch", ARCH, "--runtime", "torch", "--device", "tpu"], "`device of torch` must be"),
        (["--onnx", "absent.onnx", "--runtime", "torch"], "use the runtime onnxruntime"),
        (["--onnx", "absent.onnx"], "there is no file 'absent.onnx'"),
        (["--model", "absent_module_for_test:f"], "no module 'absent_module_for_test'"),
        (["--model", "torch.nn:Module", "--input", "7"], "must run on inputs of shape (1, 7)"),
        (["--model", "a:b", "--classes", "7"], "`--input` and `--classes` must be given together"),
        (["--model", "a:b", "--input", "1,3,8,8"], "`--input` must be C,H,W of an image, C,T"),
        (["--model", "a:b", "--input", "7", "--classes", "Map5,9"], "`--classes` must be a number"),
        (["--model", "a:b", "--input", "7", "--classes", "5,9999999999"], "`--classes` must be a"),
        (["--model", "a:b", "--input", "seven"], "`input` must be positive whole numbers"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_stage_says_what_is_given_alone() -> None:
    assert _told(None, None) == ""
    assert _told(2, "int8") == ", batch 2, int8"


def test_the_wanted_output_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    del folder
    model = ("--model", "profile_models_for_test:Pair", "--input", "1,2,2", "--json")
    for output, choice in ((), "near"), (("--output", "far"), "far"):
        caplog.clear()
        assert run(*model, *output) == 0
        assert json_line(capsys)["macs"] == 4 * 3 + 4 * 7
        assert f"whose answer is {choice} of near, far" in caplog.text
    assert run(*model, "--output", "middle") == 2
    assert "one of near, far, but got 'middle'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_kinds_of_modules(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del folder
    models = "profile_models_for_test"
    assert run("--model", f"{models}:lazy", "--input", "1,2,2", "--json") == 0
    assert json_line(capsys)["params"] == 4 * 3 + 3
    needy = ("--model", f"{models}:NeedsBatch", "--input", "1,2,2", "--runtime", "torch", "--json")
    assert run(*needy, "--batch", "8") == 0
    assert json_line(capsys)["batch"] == 8
    assert run(*needy) == 2
    assert "Expected more than 1 value" in capsys.readouterr().err
    assert run("--model", f"{models}:without_values", "--input", "1,8,8") == 2
    assert "on the meta device" in capsys.readouterr().err


def test_free_dimensions_of_any_rank_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens.onnx"
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", "t"]) for n in "xy"]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 18)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    for given, batch in ((["--shape", "x=3,16"], 3), (["--input", "16", "--batch", "2"], 2)):
        assert run("--onnx", str(path), "--json", *given) == 0
        assert json_line(capsys)["batch"] == batch
    for given in (
        ["--shape", "z=3,16"],
        ["--shape", "x=3"],
        ["--shape", "x"],
        ["--input", "1,2,3"],
    ):
        assert run("--onnx", str(path), *given) == 2
        assert capsys.readouterr().err.startswith("hwnas: `")


@pytest.mark.usefixtures("folder")
def test_too_few_runs_for_an_interval_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    model = ("--model", "profile_models_for_test:Net", "--input", "1,5,6")
    assert _run(app, [*model, "--max-seconds", "1e-9"]) == 0
    assert "1 rounds are too few for an interval" in capsys.readouterr().err


TRAPS = """
import os, time
from torch import nn


class Endless(nn.Module):
    def forward(self, x):
        while True:
            time.sleep(0.1)


def endless_builder():
    while True:
        time.sleep(0.1)


def ended_builder():
    os._exit(5)
"""


def test_networks_that_end_or_never_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "profile_traps_for_test.py").write_text(TRAPS)
    monkeypatch.chdir(tmp_path)
    given = ("--input", "1,5,6", "--limit-seconds", "2")
    for name in ("Endless", "endless_builder"):
        assert run("--model", f"profile_traps_for_test:{name}", *given) == 2
        expected = "hwnas: `limit_seconds` must be enough for one network, but it did not end"
        assert capsys.readouterr().err.startswith(expected)
    assert run("--model", "profile_traps_for_test:ended_builder", *given) == 2
    assert capsys.readouterr().err.endswith("but it ended its process: EXIT(5).\n")


def test_strict_measures_in_fresh_processes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict, "STRICT", Length(0.3, target=1e-9, least_runs=30))
    monkeypatch.setattr(strict, "PROCESSES", 2)
    monkeypatch.setattr(strict, "_PAUSE_SECONDS", 0.01)
    assert run("--arch", ARCH, "--strict", "--json") == 0
    printed = capsys.readouterr()
    row = json.loads(printed.out)
    assert row["processes"] == 2
    assert row["latency_ms"] > 0
    assert row["process_spread"] >= 0
    assert row["seconds"] >= 0.6
    assert "process 2 of 2" in printed.err
    assert "process 1: the interval is" in printed.err
    assert row["architecture"] == ARCH


def test_where_processes_differ_it_measures_in_several(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = []

    class Near:
        def __init__(self, limits: Limits) -> None:
            self.limits = limits

        def close(self) -> None: ...

        def call(self, what: Any, wanted: Any, how: dict[str, Any], held: str) -> Any:
            seconds.append(how["max_seconds"])
            return what(wanted, how, held)

    monkeypatch.setattr(isolation, "Child", Near)
    monkeypatch.setattr(strict, "PROCESSES", 2)
    monkeypatch.setattr(OnnxRuntime, "differs_between_processes", True, raising=False)
    assert run("--arch", ARCH, "--json") == 0
    printed = capsys.readouterr()
    row = json.loads(printed.out)
    assert row["processes"] == 2
    assert seconds == [0.025, 0.025]
    assert "process 2 of 2" in printed.err
    raw = {"length": None, "runtime": "onnxruntime", "metric": "latency", "reference": False}
    assert _processes(raw) == 1
    assert _processes({**raw, "metric": "energy", "reference": True}) == 1


@pytest.mark.parametrize("more", [("--no-reference",), ("--metric", "energy")])
def test_strict_is_of_a_latency_beside_the_reference(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--arch", ARCH, "--strict", *more) == 2
    assert "`--strict` must be of a latency beside the reference" in capsys.readouterr().err


def test_without_the_reference_the_value_is_the_raw_median(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--arch", ARCH, "--no-reference", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["latency_ms"] == row["cpu_ms"]
    assert "reference_ms" not in row
