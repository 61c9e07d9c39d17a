"""Tables on a terminal, JSON lines for programs, and notes for the user."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwnas.cli.fitting import broken, fit
from hwnas.cli.messages import messages, one_line
from hwnas.cli.progress import progress
from hwnas.files.passwords import without_passwords

_PIPED_WIDTH = 200
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


def _is_bounded() -> bool:
    """Tell whether somebody has said how wide tables may be."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()


def _results() -> Console:
    return Console(highlight=False, emoji=False, width=None if _is_bounded() else _PIPED_WIDTH)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table to standard output.

    On a terminal the columns that fit are shown whole, long texts are wrapped, architectures
    between operations, and a note names the columns that are left out.

    Args:
        columns: headers, with unit and direction where there are any.
        rows: cells; floats are shown with five digits, whole ones with all of them, missing values
            as a dash.
        title: text above the table.
    """
    body = [list(row) for row in rows]
    numeric = [
        bool(body) and all(isinstance(row[i], (int, float, type(None))) for row in body)
        for i in range(len(columns))
    ]
    headers, cells = [one_line(c) for c in columns], [[_cell(v) for v in row] for row in body]
    console = _results()
    fitted = fit(headers, cells, console.width if _is_bounded() else None)
    table = Table(box=box.SIMPLE_HEAD)
    for i, width in zip(fitted.columns, fitted.widths, strict=True):
        side: Literal["left", "right"] = "right" if numeric[i] else "left"
        bound = width if _is_bounded() else None
        table.add_column(Text(headers[i]), justify=side, overflow="fold", width=bound)
    for row in cells:
        shown = zip(fitted.columns, fitted.widths, strict=True)
        table.add_row(*(Text(broken(row[i], width)) for i, width in shown))
    progress.hide()
    if title:  # as wide as the terminal, however narrow the table is
        console.print(Text(one_line(title), style="italic"))
    console.print(table)
    if fitted.left_out:
        names = ", ".join(headers[i] for i in fitted.left_out)
        note(f"Left out at {console.width} columns: {names}. All of them: --json, or COLUMNS=200.")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return _number(value) if isinstance(value, float) else one_line(str(value))


def _number(value: float) -> str:
    """Show five digits, and whole numbers as they are."""
    whole = value.is_integer() and 1e3 <= abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:.5g}"
