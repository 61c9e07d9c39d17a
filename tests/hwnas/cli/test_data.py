"""The command ``hwnas data``, run as a user runs it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hwnas.cli import _run
from hwnas.cli.data import app
from hwnas.data import catalogue
from hwnas.data.catalogue import DataFile, PublishedData


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put two made-up data sets in the place of the catalogue, one of them complete."""
    files = {
        name: DataFile(f"{name}/f.csv", hashlib.sha256(name.encode()).hexdigest())
        for name in ("here", "absent")
    }
    entries = {
        name: PublishedData(
            name, f"Set {name}", "https://x.invalid", "MIT", "C", "Ask us.", (file,)
        )
        for name, file in files.items()
    }
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/f.csv").write_bytes(b"here")
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, ["list"]) == 0
    printed = capsys.readouterr()
    for entry in catalogue.catalogue().values():
        assert f" {entry.name} " in printed.out
    assert "data folder: " in printed.err


def test_list_as_json(made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, ["list", "--json", "--data", str(made_up)]) == 0
    rows = lines(capsys)
    assert [(row["name"], row["here"], row["files"]) for row in rows] == [
        ("here", 1, 1),
        ("absent", 0, 1),
    ]
    assert rows[0]["licence"] == "MIT"


def test_get_of_what_is_here_gives_the_files(
    made_up: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(app, ["get", "here", "--data", str(made_up), "--json"]) == 0
    assert lines(capsys) == [{"name": "here", "file": str(made_up / "here/f.csv")}]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["get", "absent"], "Ask us."),
        (["get", "hear"], "Did you mean 'here'?"),
        (["verify", "hear"], "Did you mean 'here'?"),
        (["get"], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    made_up: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert _run(app, [*arguments, "--data", str(made_up)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert named in printed.err


@pytest.mark.parametrize(
    ("arguments", "content", "code", "state"),
    [
        (["verify", "here"], b"here", 0, "ok"),
        (["verify", "here"], b"else", 1, "wrong checksum"),
        (["verify", "here"], None, 1, "missing"),
        (["verify"], b"here", 0, "ok"),
        (["verify"], b"else", 1, "wrong checksum"),
        (["verify"], None, 0, "missing"),
    ],
)
def test_verify(
    made_up: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    content: bytes | None,
    code: int,
    state: str,
) -> None:
    path = made_up / "here/f.csv"
    path.unlink() if content is None else path.write_bytes(content)
    assert _run(app, [*arguments, "--data", str(made_up), "--json"]) == code
    assert lines(capsys)[0] == {"name": "here", "file": "here/f.csv", "state": state}
    assert _run(app, [*arguments, "--data", str(made_up)]) == code
    printed = capsys.readouterr()
    assert "here" in printed.out
    assert (f"{state}: here/f.csv" in printed.err) == (code == 1)


@pytest.mark.parametrize("command", ["list", "get", "verify"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, [command, "--help"]) == 0
    assert f"Example: hwnas data {command}" in capsys.readouterr().out
