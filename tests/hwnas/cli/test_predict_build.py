from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

from hwnas.cli import _run
from hwnas.cli.predict_build import _advice, _within, build
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.files.predictor_file import read_predictor_file
from hwnas_predictors.kernels.predictor import KernelPredictor

SPACE = "NasBench201(channels=8, cells=1)"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))


def run(*argv: str) -> int:
    app = typer.Typer()
    app.command()(build)
    return _run(app, list(argv))


def test_build_writes_a_predictor_bound_to_its_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cpu.npz"
    argv = ["--space", SPACE, "--networks", "4", "--held-out", "2", "--max-seconds", "2"]
    assert run(*argv, "--out", str(out), "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["networks"] == 2
    assert row["kernels"] > 3
    file = read_predictor_file(out, "kernels")
    assert file.facts.space == SPACE
    assert (file.facts.unit, file.facts.device.device) == ("ms", "cpu")
    assert row["overhead_ms"] == file.settings["overhead_ms"] >= 0


def test_kernels_that_do_not_sum_to_networks_are_said_with_what_to_do() -> None:
    made = SimpleNamespace(
        predicted_ms=np.array([1.0, 1.05, 1.5, 3.0]), measured_ms=np.array([1.0, 1.0, 1.0, 2.0])
    )
    assert _within(made) == 0.5
    assert "Of 4 whole networks only 50 % are predicted within 10 %" in _advice(0.5, 4)
    assert "`hwnas predict support`" in _advice(0.79, 10)
    assert _advice(0.8, 10) == ""


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--device", "phone"], "`device` must be 'cpu', "),
        (["--onnx", "absent.onnx"], "`--onnx` must name a file, but there is no file"),
        (["--space", "nasbench201:MNIST"], "`dataset` must be one of"),
        (["--max-seconds", "0"], "`max_seconds` must be above 0"),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv, "--out", str(tmp_path / "out.npz")) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_another_machine_is_named_and_its_settings_give_way_to_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remotes.toml").write_text('[board]\nssh = "me@board"\nthreads = 4\n')
    monkeypatch.setenv("HWNAS_REMOTES", str(tmp_path / "remotes.toml"))
    with pytest.raises(UnknownNameError, match=r"machine of .*remotes.toml.*'bord'"):
        build(tmp_path / "p.npz", remote="bord")
    asked = {}

    def stop(*_: Any, **how: Any) -> None:
        asked.update(how)
        raise InvalidValueError("enough")

    monkeypatch.setattr(KernelPredictor, "build", staticmethod(stop))
    with pytest.raises(InvalidValueError, match="enough"):
        build(tmp_path / "p.npz", remote="board", precision="int8")
    assert "threads" not in asked
    settings = asked["machine"].settings
    assert (settings.threads, settings.precision, settings.runtime) == (4, "int8", "onnxruntime")
