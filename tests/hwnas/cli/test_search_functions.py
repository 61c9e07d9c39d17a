"""Functions of a trial on the command line: searched, gone on with, and refused in one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.cli import main
from hwnas.pareto import ParetoSet

SOURCE = """
import enum

from torch import nn

def build(trial):
    print("nobody asked")
    layers, before = [], 1
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width_{i}", 4, 16, step=4)
        groups = trial.suggest_categorical(f"groups_{i}", [1, 2])
        layers += [nn.Conv2d(before, width, 3, padding=1, groups=groups), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 7))

def always(trial):
    raise ValueError("out of order")

def misfit(trial):
    wide = trial.suggest_categorical("wide", [8, 4])
    last = trial.suggest_int("last", 8, 12)
    body = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(wide, last), nn.Linear(last, 7))

class Two(nn.Sequential):
    def forward(self, x):
        features = super().forward(x)
        return {"logits": features[:, :7], "features": features}

class Kind(enum.Enum):
    PLAIN = nn.Identity
    SMOOTH = nn.SiLU

def two_outputs(trial):
    act = trial.suggest_categorical("act", list(Kind)).value()
    width = trial.suggest_int("width", 4, 9)
    return Two(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), act, nn.Linear(width, 9))

def endless(trial):
    return nn.Linear(1, 1 + trial.suggest_int("width", 0, 10**9))
"""
MODULE = "functions_for_search"
SIZES = ["--input", "1,8,8", "--classes", "7"]
CHEAP = ["--objective", "naswot", "--cost", "count:params", "--batch", "4"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"{MODULE}.py"
    path.write_text(SOURCE)
    yield path
    sys.modules.pop(MODULE, None)


def search(function: str, *more: str) -> int:
    return run("search", "--model", f"{MODULE}:{function}", *CHEAP, *more)


def test_a_search_of_a_function_goes_on_and_its_front_is_taken_home(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert search("build", *SIZES, "--trials", "6", "--json") == 0
    assert "nobody asked" not in capsys.readouterr().out
    assert search("build", *SIZES, "--trials", "10", "--json") == 0
    printed = capsys.readouterr()
    assert "10 trials" in printed.err
    assert re.search(
        r"of the choices that \S+:build was asked for are no architecture", printed.err
    )
    assert "raised ValueError: in_channels must be divisible by groups" in printed.err
    front = ParetoSet.load("hwnas-results/front.json")
    assert front.space.startswith(f"{MODULE}:build:input=1x8x8,classes=7,source=v")
    archs = [json.loads(line)["architecture"] for line in printed.out.splitlines()]
    assert archs == [member.arch for member in front.members]
    own = ["--model", f"{MODULE}:build"]
    assert run("pareto", "show", "hwnas-results") == 0
    assert run("pareto", "export", "hwnas-results", *own, "--onnx") == 0
    cost = ["--cost", "torch:cpu:latency", "--objective", "params"]
    assert run("pareto", "verify", "hwnas-results", *own, *cost[:2]) == 2  # params is no latency
    capsys.readouterr()
    assert run("score", *own, *SIZES, "--arch", archs[0], "--proxy", "naswot", "--json") == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["architecture"] == archs[0]
    assert run("profile", *own, *SIZES, "--arch", archs[0], "--max-seconds", ".1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["params"] == front.members[0].values[1]


def test_choices_that_raise_are_infeasible_trials_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert search("build", *SIZES, "--sampler", "random", "--trials", "8") == 0
    printed = capsys.readouterr().err
    refused = ParetoSet.load("hwnas-results/front.json").provenance["refused"]
    assert refused >= 1
    assert f"{refused} trials were infeasible since their choices make no" in printed
    assert "raised ValueError: in_channels must be divisible by groups" in printed


def test_code_that_has_changed_does_not_go_on(
    module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search("build", *SIZES, "--trials", "2") == 0
    module.write_text(SOURCE.replace("ReLU", "ReLU6"))
    sys.modules.pop(MODULE)
    capsys.readouterr()
    assert search("build", *SIZES, "--trials", "4") == 2
    assert "source=" in capsys.readouterr().err
    assert run("pareto", "export", "hwnas-results", "--onnx", "--model", f"{MODULE}:build") == 2
    assert "it has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["build"], "`--input` and `--classes` must be given for"),
        (["build", "--input", "1,8,8"], "`--input` and `--classes` must be given together"),
        (["build", "--input", "1,8,8", "--classes", "a"], "`classes` must be"),
        (
            ["build", "--input", "2,8,8", "--classes", "7"],
            "expected input[2, 2, 8, 8] to have 1 ch",
        ),
        (["build", "--input", "1,8,8", "--classes", "8"], "it answers Logits(classes=7)"),
        (["build", "--input", "8,8,1", "--classes", "7"], "Is (8, 8, 1) (H, W, C)? Images are (C,"),
        (["always", *SIZES], "for none of 64: `functions_for_search:always` must give"),
        (["endless", *SIZES], "`width` must have at most 10,000 choices"),
        (["absent", *SIZES], "has no 'absent'"),
        (["build", *SIZES, "--space", "fbnet"], "`--model` must be given without --space"),
        (["build", *SIZES, "--dataset", "cifar10"], "without --dataset"),
        (["build", *SIZES, "--storage", "sqlite:////absent/s.db"], "/absent: it does not exist"),
        (["build", *SIZES, "--storage", "journal:absent/s.log"], "folder absent: it does not"),
        (["build", *SIZES, "--sampler", "hardware"], "`sampler` must be one of"),
    ],
)
def test_what_cannot_be_searched_is_told_before_a_study_is_made(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(*arguments) == 2
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1
    assert not Path("hwnas-results/study.db").exists()


@pytest.mark.filterwarnings("default")  # what is warned of is a line of the command's
@pytest.mark.parametrize("sampler", ["hardware-aware", "tpe"])
def test_a_constraint_that_nothing_keeps_is_told_before_a_study_is_made(
    sampler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.study.probe._DRAWS", 70)
    bounds = ["--constraint", "params<=50", "--constraint", "macs>=1", "--sampler", sampler]
    assert search("build", *SIZES, *bounds) == 2
    *lines, error = capsys.readouterr().err.splitlines()
    [note] = [line for line in lines if line.startswith("Note:")]
    assert "0 of 25 architectures that were looked at keep params <= 50 (closest: " in note
    # The smallest network: 1 * 4 * 9 + 4 weights of its convolution, 4 * 7 + 7 of its head.
    assert "looked at none keeps params <= 50 (closest: 75) and macs >= 1: widen it" in error
    assert not Path("hwnas-results/study.db").exists()


@pytest.mark.parametrize("sampler", ["hardware-aware", "random"])
def test_networks_that_do_not_run_are_infeasible_with_the_reason(
    sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search("misfit", *SIZES, "--sampler", sampler, "--trials", "7") == 0
    front = ParetoSet.load("hwnas-results/front.json")
    assert front.provenance["failed"] == 0
    done = [e for e in front.evaluated if e.status == "complete"]
    assert done
    assert all('"wide": 8' in e.arch for e in done)
    error = capsys.readouterr().err
    if sampler == "random":
        assert front.provenance["infeasible"] == front.provenance["refused"] > 0
        assert "make no network that runs, the first: `functions_for_search:misfit`" in error
        assert "but raised RuntimeError: mat1 and mat2 shapes cannot be multiplied" in error
    else:  # Only networks that run are proposed, and there are five of them.
        assert len(done) == 5
        assert "The search ended after 5 trials: no other architecture" in error


def test_members_of_an_enum_have_names_and_which_output_is_taken_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert search("two_outputs", *SIZES, "--trials", "3") == 0
    front = ParetoSet.load("hwnas-results/front.json")
    assert {json.loads(e.arch)["act"] for e in front.evaluated} <= {"PLAIN", "SMOOTH"}
    said = [m for m in caplog.messages if "whose answer is logits of logits, features" in m]
    assert said
    assert len(said) == len(set(said))


def test_any_space_is_searched_for_any_sizes() -> None:
    arguments = ["--space", "nasbench201:channels=2,cells=1", *SIZES, "--trials", "2", *CHEAP]
    assert run("search", *arguments) == 0
    task = ParetoSet.load("hwnas-results/front.json").provenance["dataset"]
    assert task["name"] == "1x8x8:7"
    assert run("search", *arguments[:2], "--dataset", "1x8x8:7", "--trials", "3", *CHEAP) == 0
