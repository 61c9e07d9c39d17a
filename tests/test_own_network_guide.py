"""The guide to one's own networks runs as it stands, with fewer trials."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
from pathlib import Path

import pytest

from hwnas.cli import main
from hwnas.pareto import ParetoSet

GUIDE = (Path(__file__).parents[1] / "docs/own_network.md").read_text(encoding="utf-8")
FEWER = {"search": ("--trials", "2")}
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of the guide."""
    path = tmp_path_factory.mktemp("guide")
    for kind, text in BLOCKS:
        if kind == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            (path / (name[1] if name else "in_python.py")).write_text(text)
    return path


def run(*arguments: str) -> None:
    """Run a command in this process: PyTorch is imported once."""
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    assert stopped.value.code == 0


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    # Networks that `predict support` builds: to choose among fewer takes seconds.
    monkeypatch.setattr("hwnas_predictors.transfer._CANDIDATES_TO_BUILD", 24)
    monkeypatch.setattr("hwnas_predictors.transfer._SCALED_BY", 8)
    monkeypatch.syspath_prepend(folder)


def commands() -> list[str]:
    texts = [text.replace("\\\n", " ") for kind, text in BLOCKS if not kind]
    return [line for text in texts for line in text.splitlines()]


def fill_in(path: Path) -> None:
    """Take the number of characters for a latency."""
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(f"{row}{len(row)}" for row in rows[1:])]))


def test_the_commands_of_the_guide_run_one_after_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [line for line in commands() if not line.startswith("#")]
    assert len(asked) == 12
    for line in asked:
        line, _, into = line.partition(" > ")
        program, command, *arguments = shlex.split(line)
        assert program == "hwnas"
        capsys.readouterr()
        # What stands last counts; a search without a number would have 64 trials.
        run(command, *arguments, *FEWER.get(command, ()))
        if into:
            (folder / into).write_text(capsys.readouterr().out)
            fill_in(folder / into)
    assert ParetoSet.load(folder / "verified/front.json").provenance
    assert [*(folder / "verified/onnx").glob("*.onnx")]
    assert ParetoSet.load(folder / "plain/front.json").provenance["dataset"]["num_classes"] == 7
    assert ParetoSet.load(folder / "pairs/front.json").members
    assert [*(folder / "detectors/onnx").glob("*.onnx")]


def test_the_python_of_the_guide_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(folder / "in_python.py"))
    assert '"width"' in capsys.readouterr().out


def test_a_space_of_a_class_takes_less_than_thirty_lines() -> None:
    [text] = [text for _, text in BLOCKS if text.startswith("# my_space.py")]
    assert len([line for line in text.splitlines() if line.strip()]) < 30


def test_models_of_timm_are_a_choice(folder: Path) -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("the extra timm is not installed")
    cheap = ["--objective", "synflow", "--cost", "count:params", "--batch", "2", "--trials", "3"]
    sizes = ["--input", "1,96,96", "--classes", "7", "--out", "zoo"]
    run("search", "--model", "my_zoo:MODELS", *sizes, *cheap)
    found = {e.arch.split('"')[3] for e in ParetoSet.load(folder / "zoo/front.json").evaluated}
    assert found & {"resnet", "lcnet", "mobile"}
