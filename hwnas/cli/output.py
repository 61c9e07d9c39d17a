"""Tables on a terminal, JSON lines for programs, and where messages go."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

messages = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""Console of progress and messages: standard output stays free for results."""


def note(text: str) -> None:
    """Write one line for the user to standard error."""
    messages.print(text, markup=False)


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line to standard output; NaN and infinities become null."""
    for row in rows:
        sys.stdout.write(json.dumps(finite(row), allow_nan=False) + "\n")
    sys.stdout.flush()


def finite(value: Any) -> Any:
    """Replace NaN and infinities by None, in dicts and lists too: JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table to standard output.

    Args:
        columns: headers, with unit and direction where there are any.
        rows: cells; floats are shown with five digits, missing values as a dash.
        title: text above the table.
    """
    console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    body = [list(row) for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[i], (int, float, type(None))) for row in body)
        table.add_column(_escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return _escape(f"{value:.5g}" if isinstance(value, float) else str(value))


def _escape(text: str) -> str:
    """Keep rich from reading brackets as its markup."""
    return text.replace("[", r"\[")
