from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import typer

from hwnas import __version__, cli
from hwnas.cli import main

COMMANDS = [
    ["search"],
    ["score"],
    ["profile"],
    ["pareto", "show"],
    ["pareto", "export"],
    ["data", "list"],
    ["data", "get"],
    ["data", "verify"],
    ["spaces"],
    ["proxies"],
    ["costs"],
    ["doctor"],
]


REPEATING = [("search",), ("score",), ("rank",), ("predict", "train"), ("profile",)]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command, "--help") == 0
    assert f"Example: hwnas {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"hwnas {__version__}\n"
    assert run() == 0
    assert "search" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["serch"], ["search", "--nonsense"], ["pareto", "shw"]])
def test_misspelt_commands_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert arguments[-1] in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("path", ["x" * 400, "journal:" + "x" * 400, f"a/{'b' * 300}/c"])
def test_names_that_no_file_can_have_are_one_short_line(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pareto", "show", path) == 2
    err = capsys.readouterr().err
    assert err.startswith("hwnas: `")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("argv", "changes"), [("None", True), ("['--version']", False)])
def test_garbage_is_looked_for_seldom_where_the_process_is_the_commands(
    argv: str, changes: bool
) -> None:
    program = f"""
import gc, sys
from hwnas.cli import main
before = gc.get_threshold()
try:
    main({argv})
except SystemExit:
    assert (gc.get_threshold()[0] > 10 * before[0]) == {changes}
"""
    subprocess.run([sys.executable, "-c", program, "--version"], check=True)


def test_help_is_fast_because_nothing_heavy_is_imported() -> None:
    heavy = "torch,onnx,onnxruntime,optuna,pandas,sklearn,plotly"
    code = (
        "import sys\n"
        "from hwnas.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r}.split(',') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [(None, 0, ""), (0, 0, ""), (3, 3, ""), ("no\n space", 1, "hwnas: no space\n")],
)
def test_what_a_command_exits_with_is_told(
    given: str | int | None, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = typer.Typer()

    @command.command()
    def ends() -> None:
        sys.exit(given)

    assert cli._run(command, []) == code
    assert capsys.readouterr().err == text


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.Typer()

    @command.command()
    def writes() -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    assert cli._run(command, []) == 2
    told = capsys.readouterr().err
    assert told == "hwnas: a file cannot be written (No space left on device): make room.\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPipeError(32, "Broken pipe"), "[Errno 32] Broken pipe"),
        (BrokenPipeError(), "broken pipe"),
        (BrokenPipeError("pipe closed"), "pipe closed"),
    ],
)
@pytest.mark.parametrize("reads", [True, False])
def test_a_broken_pipe_is_silent_only_where_nobody_reads(
    error: BrokenPipeError,
    told: str,
    reads: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = typer.Typer()

    @command.command()
    def ends() -> None:
        raise error

    ours, theirs = os.pipe()
    if not reads:
        os.close(ours)
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli._run(command, []) == 1
    said = f"hwnas: a process that belongs to this command ended too early ({told}).\n"
    assert capsys.readouterr().err == (said if reads else "")


def test_what_is_warned_of_is_one_line_without_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warns(*_: object) -> int:
        warnings.simplefilter("always")
        warnings.warn("a goes\nwithout b", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("hwnas.cli._run", warns)
    shown = warnings.showwarning
    assert run("spaces") == 0
    assert capsys.readouterr().err == "Note: a goes without b\n"
    assert warnings.showwarning is shown


@pytest.mark.parametrize("command", [*COMMANDS, ["rank"], ["pareto", "verify"]], ids=" ".join)
def test_paragraphs_of_a_help_fill_the_terminal(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(*command, "--help")
    text = re.split(r"\n(?:Options|Arguments):", capsys.readouterr().out)[0].partition("\n\n")[2]
    for paragraph in ("\n".join(map(str.strip, text.splitlines()))).split("\n\n"):
        lines = paragraph.strip().splitlines()
        for line, following in pairwise(lines):
            assert len(f"  {line} {following.split()[0]}") > 78


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the words of each command, and the command."""
    if words:
        yield words, command
    for name, part in getattr(command, "commands", {}).items():
        yield from leaves(part, (*words, name))


def test_help_says_what_may_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    cli._register()
    found = {}
    for words, command in leaves(typer.main.get_command(cli.app)):
        options = [p for p in command.params if getattr(p, "multiple", False) and not p.hidden]
        assert run(*words, "-h") == 0
        assert capsys.readouterr().out.count("Repeatable.") == len(options), words
        found[words] = len(options)
    assert all(found[command] for command in REPEATING)


def test_help_at_80_columns_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    cli._register()
    for words, command in leaves(typer.main.get_command(cli.app)):
        assert run(*words, "-h") == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
        shown = " ".join(text.split())
        for option in (p for p in command.params if p.opts[0].startswith("-")):
            assert ", ".join(option.opts) in shown, words
            # Neither an ending that is left out nor typer's names of Python's types.
            for word in re.findall(r"\S+", option.help or ""):
                assert word in text or "-" in word, (words, word)
        assert not re.search(r"list\[|<\w+ range>|\\\[", text)
        for name, part in getattr(command, "commands", {}).items():
            assert f"{name} {part.short_help}" in shown


def test_shells_complete_commands() -> None:
    words = {"_HWNAS_COMPLETE": "complete_bash", "COMP_WORDS": "hwnas sam", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from hwnas.cli import main; main()"],
        env=os.environ | words,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["samplers"]


def test_samplers_are_listed_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["samplers", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["sampler"] == "hardware-aware"
    assert {row["kind"] for row in rows} == {"hwnas", "Optuna"}
    assert all(row["description"] for row in rows)


def test_costs_of_a_space_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["costs", "--space", "fbnet", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = {row["cost"].partition(":")[0] for row in rows}
    # Without data nobody can tell more of FBNet's tables than that they are its own.
    assert {"count", "predictor", "hw-nas-bench", "help", "onnxruntime"} <= names
    assert "brp-nas" not in names
