"""Tables that say whether all of their rows are there, and cells that stay text everywhere.

- The last column of a table, `rows_left`, counts the rows that follow: n - 1 to 0. A file that was
  cut anywhere lacks a number, also where the cut left another number in its last cell. Sorting the
  rows keeps the numbers; who deletes rows deletes the column as well.
- A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break is a formula to
  spreadsheet programs. It is written with an apostrophe before it, which readers take away: what
  was written is what is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import DataFormatError

ROWS_LEFT = "rows_left"
"""Name of the column that counts the rows below."""

ARCHITECTURE = "architecture"
"""Name of an architecture's text in each file and row that is written."""

_EARLIER = "arch"
"""What files of earlier versions call it."""

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def as_cell(text: str) -> str:
    """Give the cell of a text.

    Example:
        >>> as_cell("=1+1"), as_cell("|none~0|")
        ("'=1+1", '|none~0|')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """Give the text of a cell, the inverse of `as_cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def with_names_of_now(names: Iterable[str]) -> list[str]:
    """Give the names of columns, with the architecture's as it is written now.

    Example:
        >>> with_names_of_now(["arch", "latency_ms"])
        ['architecture', 'latency_ms']
    """
    return [ARCHITECTURE if name == _EARLIER else name for name in names]


def architecture_of(row: Mapping[str, Any]) -> Any:
    """Give the architecture's text in a row of a file, of an earlier version's too.

    Raises:
        KeyError: there is none.
    """
    return row[_EARLIER] if _EARLIER in row and ARCHITECTURE not in row else row[ARCHITECTURE]


def as_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a value with `arch` by the names that are written."""
    return dict(zip(with_names_of_now(fields), fields.values(), strict=True))


def require_all_rows(numbers: Iterable[Any], path: Path) -> None:
    """Refuse the column `rows_left` of a table that has lost rows.

    Args:
        numbers: the column's values, `(n,)` numbers or texts of them.
        path: the table.

    Raises:
        DataFormatError: they are not 0 to n - 1, each once.
    """
    found = [_whole(value) for value in numbers]
    if sorted(found) != list(range(len(found))):
        raise DataFormatError(
            f"`{path}` must have all the rows that were written, with {ROWS_LEFT} from "
            f"{len(found) - 1} to 0, but it is cut off or has lost rows: write it again, or delete "
            f"the column {ROWS_LEFT} if you deleted rows yourself."
        )


def require_plain_csv(path: Path) -> None:
    """Refuse a CSV file with doubled columns, or with a last line that may be cut off.

    Raises:
        DataFormatError: a column is named twice, or a file without `rows_left` does not end with
            its line.
        OSError: the file cannot be read.
        ValueError: it is no text.
    """
    text = path.read_bytes().decode("utf-8-sig")
    header = next(csv.reader(io.StringIO(text)), [])
    if len(set(header)) < len(header):
        raise DataFormatError(f"`{path}` must name each column once, but has {', '.join(header)}.")
    if ROWS_LEFT not in header and text and not text.endswith(("\n", "\r")):
        raise DataFormatError(
            f"`{path}` must end with a line end, but its last line may be cut off: end it with one "
            f"if it is whole."
        )


def _whole(value: Any) -> int:
    """Read a whole number that is a count; -1 for anything else."""
    try:
        return int(value) if float(value) == int(value) else -1
    except (TypeError, ValueError, OverflowError):
        return -1
