"""Networks that end their process, never end or take all memory, on the command line."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from hwnas.cli import main

SPACE = """
import os
import time
from dataclasses import dataclass, field

import torch
from torch import nn

from hwnas.spaces.assignments import AssignmentSpace
from hwnas.spaces.choices import Options
from hwnas.tasks.catalogue import get_task


class Trap(nn.Conv2d):
    def forward(self, x):
        if self.out_channels == 7:
            os._exit(9)
        while self.out_channels == 17:
            time.sleep(0.1)
        if self.out_channels == 27:
            bytearray(6_000_000_000)
        return super().forward(x)


@dataclass(frozen=True)
class Widths(AssignmentSpace):
    build_traps: bool = False
    name: str = field(default="widths", init=False, repr=False)
    default_task: object = field(default=get_task("cifar10"), init=False, repr=False)

    def ask(self, choose):
        return choose("width", Options(tuple(range(1, 31)), ordered=True))

    def build(self, arch, task=None):
        width = self.asked(arch)
        if self.build_traps and width == 2:
            os._exit(3)
        while self.build_traps and width == 3:
            time.sleep(0.1)
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(Trap(3, width, 1), nn.ReLU(), *pool, nn.Linear(width, 10))
"""
COST = "torch:cpu:latency:max_seconds=0.01,limit_seconds=8,limit_memory_bytes=2000000000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "widths_for_test.py").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> object:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    return stopped.value.code


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_study_of_thirty_trials_has_27_values_and_three_reasons(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ("--space", "widths_for_test:Widths", "--objective", "params", "--cost", COST)
    size = ("--trials", "30", "--sampler", "random-search", "--out", "out")
    assert run("search", *study, *size) == 0
    assert "30 trials (0 repeated, 0 infeasible, 3 failed)" in capsys.readouterr().err
    with sqlite3.connect(folder / "out" / "study.db") as data:
        states = dict(data.execute("select state, count(*) from trials group by state"))
        wanted = "select value_json from trial_user_attributes where key like '%error%'"
        reasons = [text for (text,) in data.execute(wanted)]
    assert states == {"COMPLETE": 27, "FAIL": 3}
    expected = ("ended its process: EXIT(9)", "did not end within 8 s", "limit_memory_bytes")
    for part in expected:
        assert sum(part in reason for reason in reasons) == 1, reasons


@pytest.mark.usefixtures("folder")
def test_scores_go_on_after_a_builder_that_ends_its_process_or_hangs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = [json.dumps({"width": width}) for width in (1, 2, 3, 4)]
    archs = [word for text in texts for word in ("--arch", text)]
    space = ("--space", "widths_for_test:Widths(build_traps=True)", "--limit-seconds", "6")
    proxies = ("--proxy", "params", "--proxy", "layers")
    assert run("score", *space, *archs, *proxies, "--json") == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["params"] for row in rows] == [4 + 20, None, None, 16 + 50]
    lines = [line for line in printed.err.splitlines() if "no value" in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"params, layers have no value for {texts[1]}: ")
    assert lines[0].endswith("it ended its process: EXIT(3).")
    assert lines[1].endswith("it did not end within 6 s.")


BUILDERS = """
import os
import time

from torch import nn


def build(trial):
    width = trial.suggest_int("width", 1, 8)
    if width == 3:
        os._exit(5)
    while width == 5:
        time.sleep(0.1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 2))


def endless(trial):
    while trial.suggest_int("width", 1, 8):
        for _ in iter(int, 1):
            pass
"""
SIZES = ("--input", "1,8,8", "--classes", "2", "--limit-seconds", "8")


def test_a_builder_that_ends_or_hangs_its_process_is_no_architecture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "builders_for_test.py").write_text(BUILDERS)
    own = ("--model", "builders_for_test:build", *SIZES)
    asked = ("--objective", "naswot", "--cost", "count:params", "--sampler", "random-search")
    assert run("search", *own, *asked, "--trials", "8", "--batch", "4", "--out", "out") == 0
    assert "6 trials" in capsys.readouterr().err
    assert run("score", *own, "--arch", '{"width": 3}', "--proxy", "naswot") == 2
    assert "but it ended its process: EXIT(5)" in capsys.readouterr().err
    assert run("score", *own, "--arch", '{"width": 4}', "--proxy", "params") == 0


HANGING = """
import time
from pathlib import Path

from torch import nn


class Hang(nn.Module):
    def forward(self, x):
        with Path("tries").open("a") as file:
            file.write("x")
        while True:
            time.sleep(0.1)


def some(trial, hangs=(2,)):
    width = trial.suggest_int("width", 1, 4)
    inner = [Hang()] if width in hangs else []
    first, last = nn.Linear(64, 32 * width), nn.Linear(32 * width, 2)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), *inner, last)


def all_of_them(trial):
    return some(trial, range(9))
"""


@pytest.mark.parametrize("bound", [(), ("--constraint", "params<=1e6")], ids=["free", "bounded"])
def test_a_network_that_hangs_is_tried_once(
    bound: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"hanging_{len(bound)}_for_test"
    (folder / f"{module}.py").write_text(HANGING)
    own = ("--model", f"{module}:some", *SIZES)
    asked = ("--objective", "naswot", "--cost", "count:params", "--sampler", "random-search")
    assert run("search", *own, *asked, *bound, "--trials", "4", "--out", "out") == 0
    failed = 0 if bound else 1
    assert f"0 infeasible, {failed} failed)" in capsys.readouterr().err
    assert (folder / "tries").read_text() == "x"


@pytest.mark.parametrize("command", ["search", "score"])
def test_what_hung_in_one_run_is_tried_again_by_the_next(command: str, folder: Path) -> None:
    name = f"hanging_once_{command}_for_test"
    (folder / f"{name}.py").write_text(
        HANGING + "def once(trial):\n return some(trial, range(9) if Path('slow').exists() else ())"
    )
    own = ("--model", f"{name}:once", *SIZES[:4], "--limit-seconds", "4")
    more = {
        "search": ("--objective", "naswot", "--cost", "count:params", "--trials", "2"),
        "score": ("--arch", '{"width": 2}', "--proxy", "naswot", "--out", "scores.csv"),
    }
    (folder / "slow").touch()
    run(command, *own, *more[command])
    (folder / "slow").unlink()
    assert run(command, *own, *more[command]) == 0
    if command == "score":
        with (folder / "scores.csv").open() as file:
            assert [float(row["naswot"]) > 0 for row in csv.DictReader(file)] == [True]


def test_networks_that_all_hang_are_told_after_two(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "all_hang_for_test.py").write_text(HANGING)
    assert run("search", "--model", "all_hang_for_test:all_of_them", *SIZES, "--out", "out") == 2
    assert "none of 2 did" in capsys.readouterr().err
    assert (folder / "tries").read_text() == "xx"


def test_the_limit_of_a_profile_is_for_the_network_not_for_the_import(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.cli.profiling._LEAST_SECONDS", 10.0)
    text = "import time\ntime.sleep(12)\nfrom torch import nn\ndef net(): return nn.Linear(8, 2)\n"
    (folder / "slow_import_for_test.py").write_text(text)
    own = ("--model", "slow_import_for_test:net", "--input", "1,8,8", "--classes", "2")
    assert run("profile", *own, "--max-seconds", "0.05", "--runtime", "torch", "--json") == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"] > 0


@pytest.mark.parametrize("command", ["profile", "search", "score"])
def test_a_module_may_take_longer_to_import_than_a_network(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"slow_module_{command}_for_test"
    (folder / f"{name}.py").write_text("import time\ntime.sleep(2)\n" + BUILDERS)
    more = {
        "profile": ("--arch", '{"width": 4}', "--runtime", "torch", "--max-seconds", "0.05"),
        "search": ("--objective", "naswot", "--cost", "count:params", "--trials", "2"),
        "score": ("--arch", '{"width": 4}', "--proxy", "params"),
    }
    run(command, "--model", f"{name}:build", *SIZES[:4], "--limit-seconds", "1", *more[command])
    assert "importing it" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "reason"),
    [("import os; os._exit(7)", "ended its process: EXIT(7)"), ("while True: pass", "within 2 s")],
)
def test_a_module_that_ends_or_hangs_its_process_is_one_line(
    text: str,
    reason: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hwnas.measure.limits.IMPORT_SECONDS", 1.0)
    (folder / "module_for_test.py").write_text(text)
    own = ("--model", "module_for_test:build", *SIZES[:4], "--limit-seconds", "2")
    assert run("search", *own) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert reason in line
