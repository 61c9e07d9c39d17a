"""Tables on a terminal, JSON lines for programs, and notes for the user."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwnas.cli.messages import messages, one_line
from hwnas.cli.progress import progress
from hwnas.files.passwords import without_passwords

STABLE = 0.9
"""Spearman of two seeds' ranks below which a score is called unstable."""


def note(text: str) -> None:
    """Write one line for the user to standard error; passwords in it are starred out."""
    with progress.above():
        messages.print(one_line(without_passwords(text)), markup=False)


def print_text(text: str) -> None:
    """Write a result to standard output as it is."""
    progress.hide()
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line to standard output; NaN and infinities become null."""
    progress.hide()
    for row in rows:
        sys.stdout.write(json.dumps(finite(row), allow_nan=False) + "\n")
    sys.stdout.flush()


def stability_text(value: float) -> str:
    """Show Spearman's coefficient of two seeds' ranks, and whether it is too low to rely on."""
    if value != value:
        return "–"
    return f"{value:.3f}" + (" unstable" if value < STABLE else "")


def finite(value: Any) -> Any:
    """Replace NaN and infinities by None, in dicts and lists too: JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table_width() -> int:
    """Give the columns that a table may take: the terminal's, what ``COLUMNS`` says, or 200."""
    return _results().width


def _results() -> Console:
    asked = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(highlight=False, emoji=False, width=None if asked else 200)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table to standard output.

    Args:
        columns: headers, with unit and direction where there are any.
        rows: cells; floats are shown with five digits, whole ones with all of them, missing values
            as a dash.
        title: text above the table.
    """
    console = _results()
    table = Table(title=_text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left")
    body = [list(row) for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[i], (int, float, type(None))) for row in body)
        table.add_column(_text(column), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(_cell(value) for value in row))
    progress.hide()
    console.print(table)


def _cell(value: Any) -> Text:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Text("–")
    return _text(_number(value) if isinstance(value, float) else str(value))


def _number(value: float) -> str:
    """Show five digits, and whole numbers as they are."""
    whole = value.is_integer() and 1e3 <= abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:.5g}"


def _text(value: str) -> Text:
    """Keep rich from reading brackets as its markup, and the terminal from obeying the text."""
    return Text(one_line(value))
