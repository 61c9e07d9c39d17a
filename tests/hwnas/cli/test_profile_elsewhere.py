"""``hwnas profile bundle|import``, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)
from torch import nn

from hwnas.cli import _register, _run, app
from hwnas.onnx_export.export import export_onnx
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.measurements import read_measurements
from hwnas.tasks.task import TensorSpec
from tests.hwnas.bundles.loopback import fake_ssh
from tests.hwnas.bundles.small_bundle import ARCHS, make_bundle, result, write_results

SMALL = "nasbench201:channels=4,cells=1"


def run(*arguments: str) -> int:
    _register()
    return _run(app, list(arguments))


def runner(folder: Path) -> None:
    command = [sys.executable, "-I", str(folder / "run.py")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def test_from_the_support_to_a_predictor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("profile", "bundle", "--for-adapt", "3", "--seconds", "0.02", "--out", "b") == 0
    assert "hwnas profile import b" in capsys.readouterr().err
    runner(tmp_path / "b")
    assert run("profile", "import", "b", "--device", "board", "--out", "m.csv", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 3
    assert all(row["latency_ms"] > 0 and row["device"].startswith("board/") for row in rows)
    assert run("predict", "adapt", "--measurements", "m.csv", "--out", "p.npz") == 0
    assert "3 measurements" in capsys.readouterr().err
    assert run("predict", "evaluate", "p.npz", "--measurements", "m.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["device"].startswith(rows[0]["device"])


@pytest.mark.parametrize(("second", "said"), [(4.0, "drifted by 33.3 %"), (2.0, "up to 0.0 %")])
def test_it_says_once_how_far_the_reference_drifted(
    second: float, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path / "b")
    rows = [
        result(bundle, "n0000", rounds=[[1.0, 2.0, 10]] * 6),
        result(bundle, "n0001", rounds=[[1.0, second, 10]] * 6),
    ]
    write_results(bundle.folder, *rows)
    assert run("profile", "import", str(bundle.folder), "--out", str(tmp_path / "m.csv")) == 0
    (line,) = (text for text in capsys.readouterr().err.splitlines() if "reference" in text)
    assert said in line


def test_all_in_one_over_ssh(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    programs = fake_ssh(tmp_path / "bin", tmp_path / "home")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    given = ["--space", SMALL, "--arch", str(ARCHS[0]), "--seconds", "0.02", "--out", "b"]
    far = ["--ssh", "me@board", "--python", sys.executable, "--device", "board"]
    assert run("profile", "bundle", *given, *far) == 0
    assert "predict adapt --measurements b/measurements.csv" in capsys.readouterr().err
    table = read_measurements(tmp_path / "b/measurements.csv", NasBench201(channels=4, cells=1))
    assert table.key is not None
    assert table.key.device == "board"
    assert table.of("latency", "ms")[0] > 0
    given[-1] = "another"
    assert run("profile", "bundle", *given, *far[:2], "--python", "/no/python") == 2
    assert "`ssh` must reach a machine that can answer" in capsys.readouterr().err
    assert not (tmp_path / "another").exists()  # it is asked before anything is built


def own_model(name: str, shape: list[int | str], inputs: int = 1) -> None:
    """Write a model that pools its first input, and flattens it."""
    values = [make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i in range(inputs)]
    nodes = [make_node("GlobalAveragePool", ["x0"], ["p"]), make_node("Flatten", ["p"], ["y"])]
    out = make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph, opset = make_graph(nodes, "own", values, [out]), make_opsetid("", 17)
    onnx.save(make_model(graph, opset_imports=[opset], ir_version=8), name)


def test_ones_own_onnx_files_are_measured_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_model("a.onnx", [2, 3, 8, 8])
    own_model("b.onnx", ["n", 3, "h", "w"])
    tokens = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 2))
    export_onnx(tokens, TensorSpec((5,), "tokens", 9), Path("c.onnx"), batch=2)
    files = ["a.onnx", "b.onnx", "a.onnx", "c.onnx"]
    given = [text for file in files for text in ("--onnx", file)] + ["--input", "3,8,8"]
    assert run("profile", "bundle", *given, "--batch", "2", "--seconds", "0.02", "--out", "o") == 0
    runner(tmp_path / "o")
    capsys.readouterr()
    assert run("profile", "import", "o", "--device", "board", "--out", "m.csv", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["architecture"] for row in rows] == ["a.onnx", "b.onnx", "c.onnx"]
    assert all(row["latency_ms"] > 0 and row["device"].endswith("/b2/t1") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--onnx", "two.onnx"], "`onnx` must be of one input, and in float32 or from int64"),
        (["--onnx", "fixed.onnx", "--batch", "2"], "complete the shape [1, 3, 8, 8] of the input"),
        (["--onnx", "free.onnx"], "of 'free.onnx', but got 1 and None"),
        (["--onnx", "none.onnx"], "there is no file 'none.onnx'"),
        (["--onnx", "fixed.onnx", "--sample", "2"], "`--onnx` must stand without --sample"),
        (["--sample", "2", "--input", "3,8,8"], "`--input` must be given with --onnx"),
    ],
)
def test_files_that_cannot_be_measured_elsewhere_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    own_model("two.onnx", [1, 3, 8, 8], inputs=2)
    own_model("fixed.onnx", [1, 3, 8, 8])
    own_model("free.onnx", [1, 3, "h", "w"])
    assert run("profile", "bundle", *arguments, "--out", "o") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_equal_networks_stand_in_a_bundle_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch, out = str(ARCHS[0]), tmp_path / "b"
    given = ["--space", SMALL, "--arch", arch, "--arch", arch, "--out", str(out)]
    assert run("profile", "bundle", *given) == 0
    assert "1 of 2 are equal to others" in capsys.readouterr().err
    assert [p.name for p in sorted((out / "models").iterdir())] == ["n0000.onnx", "reference.onnx"]
    assert run("profile", "bundle", *given, "--threads", "2") == 2
    assert "manifest.json is another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bundle", "--out", "b"], "must name what to measure"),
        (["bundle", "--out", "b", "--model", "x"], "--for-adapt"),
        (["bundle", "--out", "b", "--arch", "x"], "x"),
        (["bundle", "--out", "b", "--sample", "1", "--provider", "cqu"], "`provider` must be one"),
        (["bundle", "--out", "b", "--sample", "1", "--ssh", "-oProxyCommand=x"], "`ssh` must be"),
        (["bundle", "--out", "b", "--sample", "1", "--python", "x"], "given with --ssh"),
        (["import", "none", "--out", "m.csv"], "manifest of a bundle"),
        (["import", "none", "--out", "m.csv", "--device", "a/b"], "`--device`"),
        (["--threads", "2", "bundle", "--out", "b"], "`--threads` must stand behind 'bundle'"),
        (["--onnx", "m.onnx", "bundle", "--out", "b"], "`--onnx` must stand behind 'bundle'"),
    ],
)
def test_bad_input_is_told_in_a_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("profile", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_profile_itself_is_a_command_still(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--space", SMALL, "--arch", str(ARCHS[0]), "--max-seconds", "0.05", "--json"]
    assert run("profile", *arguments) == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"] > 0
