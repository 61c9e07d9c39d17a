"""Commands that print what is known import nothing that they do not need."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = ("numpy", "torch", "pandas", "scipy", "sklearn", "onnx", "onnxruntime", "optuna", "plotly")
_PAIRS = list(itertools.product(("none", "skip_connect", "nor_conv_1x1"), ("none", "avg_pool_3x3")))
_PROGRAM = f"""
import json, sys, hwnas
from hwnas.cli import main

for command in json.loads(sys.argv[1]):
    try:
        if command[0] == "hwnas.search":
            hwnas.search(costs="count:any:flops", trials=6).save(command[1])
        else:
            main(command)
    except SystemExit as end:
        assert not end.code, command
    found = [name for name in {_HEAVY!r} if name in sys.modules]
    sys.stderr.write("\\n" + json.dumps([command[0], found]) + "\\n")
"""


def _imported_by(commands: list[list[str]], folder: Path) -> dict[str, set[str]]:
    """Give what a process has imported after each command."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    return {name: set(found) for name, found in map(json.loads, lines)}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Give what has been imported after each command of one process, the lightest first."""
    folder = tmp_path_factory.mktemp("imports")
    truth = folder / "truth.csv"
    cells = [f"|nor_conv_3x3~0|+|{a}~0|{b}~1|+|skip_connect~0|none~1|none~2|" for a, b in _PAIRS]
    rows = [f"{cell},{50 + i}" for i, cell in enumerate(cells)]
    truth.write_text("\n".join(["arch,accuracy", *rows]) + "\n")
    front = str(folder / "front.json")
    commands = [
        ["--help"],
        ["spaces"],
        ["proxies"],
        ["hwnas.search", front],
        ["pareto", "show", front],
        ["rank", "--truth", str(truth), "--population", "all", "--json"],
        [
            *("search", "--objective", "naswot", "--cost", "count:any:params"),
            *("--trials", "6", "--out", str(folder / "out")),
        ],
    ]
    measured = folder / "measured.csv"
    rows = [f"{cell},{1 + 0.1 * i}" for i, cell in enumerate(cells)]
    measured.write_text("\n".join(["arch,latency_ms", *rows]) + "\n")
    adapt = ["predict", "adapt", "--space", "nasbench201", "--measurements", str(measured)]
    predictor = str(folder / "p.npz")
    alone = [
        ["pareto", "show", front],
        [*adapt, "--out", predictor],
        ["predict", "export", predictor],
    ]
    first = _imported_by(commands, folder)
    return first | {f"{name} alone": at for name, at in _imported_by(alone, folder).items()}


@pytest.mark.parametrize("command", ["spaces", "proxies"])
def test_what_is_known_needs_no_library(imported: dict[str, set[str]], command: str) -> None:
    assert imported["--help"] == set()
    assert imported[command] == {"numpy"}


def test_a_search_among_known_values_needs_no_torch(imported: dict[str, set[str]]) -> None:
    assert imported["hwnas.search"] & {"torch", "pandas", "sklearn", "onnx", "onnxruntime"} == set()


def test_neither_does_its_report(imported: dict[str, set[str]]) -> None:
    assert imported["search"] & {"torch", "sklearn", "onnx", "onnxruntime"} == set()


def test_a_ranking_by_shipped_scores_needs_pandas_for_the_table_alone(
    imported: dict[str, set[str]],
) -> None:
    assert imported["rank"] - imported["pareto"] == {"pandas"}


def test_a_front_is_shown_with_nothing_more(imported: dict[str, set[str]]) -> None:
    assert imported["pareto alone"] == {"numpy"}
    assert imported["pareto"] == imported["hwnas.search"]


def test_cells_are_predicted_without_building_networks(imported: dict[str, set[str]]) -> None:
    assert imported["predict alone"] & {"torch", "pandas", "sklearn", "onnx", "optuna"} == set()


def test_a_command_imports_no_other_and_help_names_all() -> None:
    program = """
import sys
from hwnas.cli import main
for command in (["spaces", "--help"], ["--help"]):
    try:
        main(command)
    except SystemExit as end:
        assert not end.code
    print("OTHERS", "hwnas.cli.rank" in sys.modules, "hwnas.cli.pareto" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, both = done.stdout.split("OTHERS")[1:]
    assert alone.split()[:2] == ["False", "False"]
    assert both.split() == ["True", "True"]
    listed = re.findall(r"^  ([a-z]+) ", alone.partition("Commands:")[2], re.MULTILINE)
    groups, commands = ["profile", "pareto", "predict", "data"], ["search", "worker", "score"]
    commands += ["rank", "spaces", "proxies", "costs", "samplers", "doctor"]
    assert listed == commands + groups
