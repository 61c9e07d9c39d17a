"""Measurements of architectures as CSV: a column `arch`, and one or more columns of costs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import DataFormatError, DataNotFoundError, HwnasError, InvalidValueError
from hwnas.typing import FloatArray, SearchSpace


@dataclass(frozen=True)
class Measurements:
    """What a file holds.

    Attributes:
        archs: `(n,)` architectures.
        columns: `(n,)` costs by column name; NaN where a cell is empty.
        path: the file.
    """

    archs: list[Any]
    columns: Mapping[str, FloatArray]
    path: Path

    def of(self, metric: str, unit: str) -> FloatArray:
        """Give the costs of a metric, whose column states the unit: ``latency_ms``.

        Raises:
            InvalidValueError: there is no such column; lists those that there are.
        """
        name = column_name(metric, unit)
        if name not in self.columns:
            raise InvalidValueError(
                f"`measurements` must have a column {name!r} in {unit}, but {str(self.path)!r} has "
                f"{', '.join(self.columns) or 'none'}: convert the values and rename the column."
            )
        return self.columns[name]


def column_name(metric: str, unit: str) -> str:
    """Name a column of costs, e.g. ``latency_ms``."""
    return f"{metric}_{unit.lower()}" if unit else metric


def read_measurements(path: Path, space: SearchSpace[Any]) -> Measurements:
    """Read a CSV file.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it has no column `arch`, or a cell is no number; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise DataNotFoundError(f"`measurements` must be a file, but {path} is none.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFormatError(f"`{path}` must be a CSV file, but it is not: {error}.") from error
    names = [name for name in header if name != "arch"]
    if "arch" not in header or not names or not rows:
        raise DataFormatError(
            f"`{path}` must have a column 'arch', a column of costs such as 'latency_ms' and at "
            f"least one row, but has the columns {header} and {len(rows)} rows."
        )
    archs, values = [], np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        try:
            archs.append(space.parse(row["arch"] or ""))
            values[i] = [_number(row[name]) for name in names]
        except (HwnasError, ValueError, TypeError) as error:
            raise DataFormatError(f"Line {i + 2} of `{path}`: {error}") from error
    return Measurements(archs, dict(zip(names, values.T, strict=True)), path)


def _number(text: str | None) -> float:
    """Read a number; an empty cell is a missing value."""
    if text is None or not text.strip():
        return math.nan
    return float(text)
