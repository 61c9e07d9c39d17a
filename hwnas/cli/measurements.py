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

_UNITS = ("s", "ms", "us", "ns", "j", "mj", "uj", "w", "mw", "percent")


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

    def insist_on(self, unit: str) -> None:
        """Refuse columns that state another unit, e.g. ``pixel3_latency_s``.

        Raises:
            InvalidValueError: there is one.
        """
        for name in self.columns:
            stated = name.lower().rpartition("_")[2]
            if stated in _UNITS and stated != unit.lower():
                raise InvalidValueError(
                    f"`unit` is {unit!r}, but the column {name!r} of {str(self.path)!r} is in "
                    f"{stated}: name the unit with --unit, or convert the values."
                )


def column_name(metric: str, unit: str) -> str:
    """Name a column of costs, e.g. ``latency_ms``."""
    return f"{metric}_{unit.lower()}" if unit else metric


def read_measurements(path: Path, space: SearchSpace[Any]) -> Measurements:
    """Read a CSV file.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it has no column `arch`, a line has other cells than the header, or a
            cell is no positive number; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
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
    if len(set(header)) < len(header):
        raise DataFormatError(f"`{path}` must name each column once, but has {header}.")
    archs, values = [], np.empty((len(rows), len(names)))
    for i, (line, row) in enumerate(rows):
        try:
            # Decimal commas make more cells, and a writer that was killed leaves fewer.
            if None in row or None in row.values():
                raise ValueError(f"it must have {len(header)} cells, with decimal points.")
            archs.append(space.parse(row["arch"]))
            values[i] = [_number(row[name]) for name in names]
        except (HwnasError, ValueError, TypeError) as error:
            raise DataFormatError(f"Line {line} of `{path}`: {error}") from error
    return Measurements(archs, dict(zip(names, values.T, strict=True)), path)


def _number(text: str) -> float:
    """Read a cost; an empty cell is a missing value."""
    value = float(text) if text.strip() else math.nan
    if value <= 0 or math.isinf(value):
        raise ValueError(f"a cost must be positive, but is {text}: leave failed ones empty.")
    return value
