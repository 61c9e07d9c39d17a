"""Tables at the width of a terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from hwnas.cli.fitting import broken, fit
from hwnas.cli.output import print_table

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)
HEADERS = ["score", "kind", "Spearman ρ", "published ρ", "Kendall τ", "published τ", "nDCG@1000"]
INTERVALS = ("0.873 [0.860, 0.880]", "0.701 [0.688, 0.710]")
ROW = ["nasgraph_avg_degree", "ready-made", INTERVALS[0], 11, INTERVALS[1], 22, 33]


@pytest.mark.parametrize("width", [40, 80, 140])
def test_what_is_shown_is_whole_and_what_is_not_is_named(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(HEADERS, [ROW])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert max(map(cell_len, lines)) <= width
    (line,) = (line for line in lines if "nasgraph_avg_degree" in line)
    said = printed.err
    # Numbers of two digits are in no other cell.
    for header, value in zip(HEADERS, ROW, strict=True):
        assert (str(value) in line) != (header in said)
    assert ("--json" in said) == (width < 140)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("k3_e6,k5_e1_g2,skip,k3_e1", ["k3_e6,", "k5_e1_g2,", "skip,k3_e1"]),
        ("192|h3r3.5,h4r4|x", ["192|", "h3r3.5,", "h4r4|", "x"]),
        ("sum(x,h0);tanh(n0)", ["sum(x,h0);", "tanh(n0)"]),
        ('{"depth": 2, "kernel": 3}', ['{"depth": 2, "kernel": 3}']),
    ],
)
def test_architectures_are_broken_between_operations(text: str, lines: list[str]) -> None:
    assert broken(text, width=11).split("\n") == lines


def test_long_texts_are_wrapped_before_anything_is_left_out() -> None:
    rows = [["a" * 12, "x" * 100, "1"]]
    found = fit(["name", "text", "number"], rows, 60)
    assert found.left_out == ()
    assert sum(found.widths) + 3 * 3 + 1 == 60
    assert fit(["name", "text", "number"], rows, None).widths == (12, 100, 6)


@pytest.mark.parametrize("width", [20, 40, 57])
def test_architectures_break_between_operations(width: int) -> None:
    lines = broken(CELL, width).split("\n")
    assert "".join(lines) == CELL
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.endswith(("|", "+")) for line in lines)
    assert broken("no bars, many words", 5) == "no bars, many words"


def test_a_table_keeps_the_pieces_of_an_architecture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_table(["#", "architecture"], [[1, CELL]])
    printed = capsys.readouterr().out
    for operation in CELL.replace("+", "").strip("|").split("|"):
        assert operation in printed


def test_headers_stand_on_one_line_where_there_is_room() -> None:
    headers = ["column", "Kendall's tau with accuracy"]
    assert fit(headers, [["macs", "0.5"]], 80).widths == (6, len(headers[1]))
    assert fit(headers, [["macs", "0.5"]], 30).widths == (6, len("Kendall's"))
