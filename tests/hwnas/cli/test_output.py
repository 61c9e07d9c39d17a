"""Texts of others on the terminal: shown as they are, never obeyed."""

from __future__ import annotations

import pytest

from hwnas.cli.messages import one_line
from hwnas.cli.output import note, print_table

HOSTILE = "[red]a[/red] \\[b] \x1b[2J\x07\u202e\x9bm"
SHOWN = r"[red]a[/red] \[b] \x1b[2J\x07\u202e\x9bm"


def test_markup_and_escape_sequences_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([HOSTILE], [[HOSTILE]], HOSTILE)
    note(HOSTILE)
    out, err = capsys.readouterr()
    assert out.count(SHOWN) == 3
    assert err.strip() == SHOWN
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(out + err)


@pytest.mark.parametrize(("columns", "widest"), [("40", 40), ("", 200)])
def test_tables_are_as_wide_as_columns_says(
    columns: str, widest: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(["a"], [["word " * 100]])
    assert max(map(len, capsys.readouterr().out.splitlines())) == widest


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (208960.0, "208,960"),
        (1552.0, "1,552"),
        (281.0, "281"),
        (208960.5, "2.0896e+05"),
        (1e20, "1e+20"),
    ],
)
def test_counts_keep_their_digits(
    value: float, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(["a"], [[value]])
    assert capsys.readouterr().out.split()[-1] == shown


def test_one_line() -> None:
    assert one_line("a\n\tb\r\nc  d\u2028e") == "a b c  d e"
    assert one_line("größer → ≤ 中文") == "größer → ≤ 中文"
