"""What published numbers must be: others are refused with row and column when a file is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError, unknown_name
from hwnas.typing import FloatArray

_NUMBERS = (int, float, np.integer, np.floating)
_COST, _PERCENT = "positive numbers", "percentages from 0 to 100"


def insist_on_published(
    name: str, dataset: str, datasets: Collection[str], split: str, splits: Collection[str]
) -> None:
    """Refuse accuracies that a benchmark does not have.

    Args:
        name: the benchmark as its users know it.
        dataset: what is wanted, one of `datasets`.
        datasets: what there is.
        split: which accuracies are wanted, one of `splits`.
        splits: which there are.

    Raises:
        UnknownNameError: there is no such data set or split.
    """
    if dataset not in datasets:
        raise unknown_name(f"dataset of {name}", dataset, datasets)
    if split not in splits:
        raise unknown_name(f"split of {dataset}", split, splits)


def numbers(values: Any, path: Path, column: str, name: str, percent: bool = False) -> FloatArray:
    """Give the `(n,)` numbers of a list, which must be positive and finite, or percent.

    Args:
        values: what a file holds in place of the list.
        path: the file.
        column: what the numbers are, for the error.
        name: the data set in the catalogue, for the error.
        percent: whether they are from 0 to 100 instead.

    Raises:
        DataFormatError: it is no list, or an entry is something else; names its row, from 1.
    """
    if not isinstance(values, (list, tuple)):
        raise damaged(path, f"a list of numbers in {column!r}", type(values).__name__, name)
    for row, value in enumerate(values, start=1):
        if not is_number(value):
            raise damaged(path, f"a list of numbers in {column!r}", f"{value!r} in row {row}", name)
    found = np.array(values, dtype=np.float64)
    right = (found >= 0) & (found <= 100) if percent else (found > 0) & np.isfinite(found)
    _require(right[:, None], found[:, None], (column,), path, name, _PERCENT if percent else _COST)
    return found


def is_number(value: Any) -> bool:
    """Whether a value is one of Python's or numpy's numbers."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def require_costs(values: FloatArray, columns: Sequence[str], path: Path, name: str) -> None:
    """Refuse `(n, c)` costs that are not positive and finite; NaN stands for a missing value.

    Args:
        values: the costs.
        columns: their `(c,)` names.
        path: the file.
        name: the data set in the catalogue.

    Raises:
        DataFormatError: a cost is something else; names its row, from 1, and its column.
    """
    right = np.isnan(values) | ((values > 0) & np.isfinite(values))
    _require(right, values, columns, path, name, _COST)


def _require(
    right: npt.NDArray[np.bool_],
    values: FloatArray,
    columns: Sequence[str],
    path: Path,
    name: str,
    what: str,
) -> None:
    if not right.all():
        row, column = np.argwhere(~right)[0].tolist()
        got = f"{values[row, column]:g} in row {row + 1}, column {columns[column]!r}"
        raise damaged(path, what, got, name)


def require_whole_csv(path: Path, name: str) -> None:
    """Refuse a CSV file whose last line is cut off, or that names a column twice.

    Raises:
        DataFormatError: it is cut off, no text, or has doubled columns.
    """
    _rows(path, name)


def read_whole_csv(path: Path, name: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read columns of a CSV file as `(n,)` texts each; blank lines are no rows.

    Args:
        path: the file.
        name: the data set in the catalogue, for the error.
        columns: what is wanted of it.

    Raises:
        DataFormatError: it is cut off, no text, has doubled columns or lacks one, or a line has
            more or fewer cells than the header.
    """
    header, *rows = _rows(path, name) or [[]]
    rows = [row for row in rows if row]
    if absent := [column for column in columns if column not in header]:
        raise damaged(path, f"the columns {', '.join(columns)}", f"no {', '.join(absent)}", name)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            got = f"{len(row)} in row {number}"
            raise damaged(path, f"{len(header)} cells a line", got, name)
    return {column: [row[header.index(column)] for row in rows] for column in columns}


def _rows(path: Path, name: str) -> list[list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, "a CSV table", f"something else ({error})", name) from error
    header = rows[0] if rows else []
    if len(set(header)) < len(header):
        raise damaged(path, "each column once", f"the columns {', '.join(header)}", name)
    if not text.endswith("\n"):
        raise damaged(path, "whole lines", "a last line that is cut off", name)
    return rows


def damaged(path: Path, content: str, got: str, name: str) -> DataFormatError:
    """Build the error for a file that holds something else than what was published."""
    return DataFormatError(
        f"`{path}` must hold {content}, but has {got}: check it with `hwnas data verify {name}`."
    )
