"""The examples run as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from hwnas.pareto import ParetoSet
from tests.programs import LONGEST_S, Programs

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("0*.py"))


class Run(Protocol):
    """Runs a program and gives what it prints."""

    def __call__(self, *command: str, folder: Path) -> str: ...


@pytest.fixture
def run(programs: Programs) -> Run:
    def run(*command: str, folder: Path) -> str:
        done = programs.run(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_short(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 80


def test_an_optuna_study_with_published_energy(data_folder: Path, tmp_path: Path, run: Run) -> None:
    assert os.environ["HWNAS_DATA"] == str(data_folder)
    printed = run(str(EXAMPLES[0]), "24", folder=tmp_path)
    assert "edgegpu_energy_mj (mJ) ↓" in printed
    assert printed.startswith("24 trials")


def test_an_optuna_study_without_data_says_what_to_do(tmp_path: Path, programs: Programs) -> None:
    done = programs.run(str(EXAMPLES[0]), "2", cwd=tmp_path)
    assert done.returncode == 1
    assert "hwnas data get hw-nas-bench" in done.stderr


def test_a_torch_model_is_profiled_by_an_interpreter_of_its_own(tmp_path: Path) -> None:
    # `run` begins with libraries that are imported already: what their imports do shows here.
    command = [sys.executable, str(EXAMPLES[1])]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LONGEST_S
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "ms" in done.stdout


def test_a_pareto_set_is_exported(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    run(str(EXAMPLES[2]), str(out), folder=tmp_path)
    assert {"front.json", "front.csv", "report.html"} <= {p.name for p in out.iterdir()}
    assert list(out.rglob("*.onnx"))


def test_a_space_of_ones_own_is_searched(tmp_path: Path, run: Run) -> None:
    (script,) = (path for path in EXAMPLES if path.name.startswith("04"))
    printed = run(str(script), "12", folder=tmp_path)
    assert '{"depth": ' in printed


def test_nni_searches_the_hubs_nasbench201(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("nni", reason="the extra nni is not installed")
    (script,) = (path for path in EXAMPLES if path.name.startswith("05"))
    run("-W", "ignore", str(script), "4", folder=tmp_path)
    assert ParetoSet.load(tmp_path / "front.json").provenance["evaluated"] == 4


def test_a_trial_of_the_nni_tuner_runs_alone(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("nni", reason="the extra nni is not installed")
    script = ROOT / "examples/06_nni_tuner/trial.py"
    assert "'naswot'" in run("-W", "ignore", str(script), folder=tmp_path)


def test_a_front_is_trained_for_real(tmp_path: Path, run: Run) -> None:
    (script,) = (path for path in EXAMPLES if path.name.startswith("07"))
    printed = run(str(script), "digits", "6", "1", "1", folder=tmp_path)
    assert "Kendall's tau with accuracy" in printed
    assert (tmp_path / "digits/code/accuracy.csv").read_text().startswith("architecture,accuracy")


def test_functions_of_a_trial_are_searched(tmp_path: Path, run: Run) -> None:
    (script,) = (path for path in EXAMPLES if path.name.startswith("08"))
    printed = run(str(script), "4", folder=tmp_path)
    assert '{"model": "' in printed
