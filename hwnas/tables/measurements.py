"""Measurements of architectures as CSV: a column `architecture`, and one or more columns of costs.

Other columns may stand beside them: `device`, `runtime`, `precision`, `batch` and `threads` say
what was measured on. Row numbers, which pandas and R write under no name, texts and standard
deviations are left alone; a column is read when it is asked for, so that what is wrong with another
one does not matter.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.deferred import deferred
from hwnas.errors import DataFormatError, DataNotFoundError, HwnasError, InvalidValueError
from hwnas.files.csv_table import (
    ARCHITECTURE,
    ROWS_LEFT,
    from_cell,
    require_all_rows,
    with_names_of_now,
)

if TYPE_CHECKING:
    import numpy as np

    from hwnas.typing import Arch, DeviceKey, FloatArray, SearchSpace
else:
    np = deferred("numpy")

_UNITS = ("s", "ms", "us", "ns", "j", "mj", "uj", "w", "mw", "percent")
_ROW_NUMBERS = re.compile(
    r"|#|x|unnamed: \d+|index|rows?|row_?names|nr?|no\.?|number", re.IGNORECASE
)
KEY = ("device", "runtime", "precision", "batch", "threads")
"""Columns that say what was measured on, the same in every row."""
_SPREAD = re.compile(r"(^|_)(std|stdev|sd|iqr|sem)(_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Measurements:
    """What a file holds.

    Attributes:
        archs: `(n,)` architectures, or their texts as of `read_texts`.
        cells: `(n,)` texts by column name.
        lines: `(n,)` number of each row's line.
        path: the file.
    """

    archs: list[Any]
    cells: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    path: Path

    @cached_property
    def names(self) -> list[str]:
        """Columns of costs: all but row numbers, texts, standard deviations and empty names.

        Raises:
            DataFormatError: a column has no name and is no row number.
        """
        found = [name for name in self.cells if not self._is_other(name)]
        for name in found:
            if not name.strip():
                raise DataFormatError(
                    f"`{self.path}` must name each column of costs, but the one that begins with "
                    f"{self.cells[name][0]!r} has no name: name it, or delete it."
                )
        return found

    @cached_property
    def key(self) -> DeviceKey | None:
        """What was measured on, where columns say it; None without a column `device`.

        Raises:
            DataFormatError: rows differ in it, or a number is none.
        """
        from hwnas.typing import DeviceKey

        given = {name: set(self.cells[name]) for name in KEY if name in self.cells}
        if "device" not in given:
            return None
        facts: dict[str, Any] = {}
        for name, texts in given.items():
            if len(texts) > 1:
                raise DataFormatError(
                    f"`{self.path}` must be of one device, but its column {name!r} has "
                    f"{', '.join(map(repr, sorted(texts)))}."
                )
            (text,) = texts
            if not text.strip():
                continue
            if name in ("batch", "threads") and not text.strip().isdigit():
                raise DataFormatError(f"`{self.path}` must count {name}, but has {text!r}.")
            facts[name] = int(text) if name in ("batch", "threads") else text.strip()
        return DeviceKey(**facts) if "device" in facts else None

    @property
    def left_out(self) -> list[str]:
        """Columns that are no costs."""
        return [name for name in self.cells if self._is_other(name)]

    @cached_property
    def columns(self) -> Mapping[str, FloatArray]:
        """All `(n,)` costs by column name; NaN where a cell is empty.

        Raises:
            DataFormatError: a cell is no positive number; names line and column.
        """
        return {name: self.costs(name) for name in self.names}

    def costs(self, name: str) -> FloatArray:
        """Give the `(n,)` costs of a column; NaN where a cell is empty.

        Raises:
            DataFormatError: a cell is no positive number; names line and column.
        """
        found = np.empty(len(self.lines))
        for i, (line, text) in enumerate(zip(self.lines, self.cells[name], strict=True)):
            try:
                found[i] = _number(text)
            except ValueError as error:
                raise DataFormatError(
                    f"Line {line} of `{self.path}`, column {name!r}: {error}"
                ) from error
        return found

    def of(self, metric: str, unit: str) -> FloatArray:
        """Give the costs of a metric, whose column states the unit: ``latency_ms``.

        Raises:
            InvalidValueError: there is no such column; lists those that there are.
            DataFormatError: a cell is no positive number; names line and column.
        """
        name = column_name(metric, unit)
        if name not in self.cells:
            raise InvalidValueError(
                f"`measurements` must have a column {name!r} in {unit}, but {str(self.path)!r} has "
                f"{', '.join(self.cells) or 'none'}: convert the values and rename the column."
            )
        return self.costs(name)

    def parsed(self, space: SearchSpace[Arch]) -> Measurements:
        """Give the same with architectures of a space for their texts.

        Raises:
            DataFormatError: a text is none of the space; names the line.
        """
        archs = []
        for line, text in zip(self.lines, self.archs, strict=True):
            try:
                archs.append(space.parse(text))
            except (HwnasError, ValueError, TypeError) as error:
                raise DataFormatError(f"Line {line} of `{self.path}`: {error}") from error
        return replace(self, archs=archs)

    def insist_on(self, unit: str) -> None:
        """Refuse columns that state another unit, e.g. ``pixel3_latency_s``.

        Raises:
            InvalidValueError: there is one, or there is no column of costs.
        """
        if not self.names:
            raise InvalidValueError(
                f"`measurements` must have a column of costs, but {str(self.path)!r} has "
                f"{', '.join(self.cells)}."
            )
        for name in self.names:
            stated = name.lower().rpartition("_")[2]
            if stated in _UNITS and stated != unit.lower():
                raise InvalidValueError(
                    f"`unit` is {unit!r}, but the column {name!r} of {str(self.path)!r} is in "
                    f"{stated}: name the unit with --unit, or convert the values."
                )

    def _is_other(self, name: str) -> bool:
        texts = self.cells[name]
        if name in KEY and ("device" in self.cells or name in ("batch", "threads")):
            return True
        if _ROW_NUMBERS.fullmatch(name.strip()) and _are_row_numbers(texts):
            return True
        if not name.strip():
            return False
        given = [text for text in texts if text.strip()]
        return _SPREAD.search(name) is not None or bool(given and not any(map(_is_numeric, given)))


def column_name(metric: str, unit: str) -> str:
    """Name a column of costs, e.g. ``latency_ms``."""
    return f"{metric}_{unit.lower()}" if unit else metric


def read_measurements(path: Path, space: SearchSpace[Arch]) -> Measurements:
    """Read a CSV file.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: as of `read_texts`, or an architecture is none of the space.
    """
    return read_texts(path).parsed(space)


def read_texts(path: Path) -> Measurements:
    """Read a CSV file whose architectures stay texts, which needs no space.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it has no column `architecture`, a column twice, a line with other cells
            than the header, or fewer rows than it had; names the line.
    """
    header, rows = _rows(path)
    names = [name for name in header if name not in (ARCHITECTURE, ROWS_LEFT)]
    if ARCHITECTURE not in header or not names or not rows:
        other = len(header) == 1 and any(mark in header[0] for mark in ";\t")
        commas = ": separate cells by commas" if other else ""
        raise DataFormatError(
            f"`{path}` must have a column {ARCHITECTURE!r}, a column of costs such as 'latency_ms' "
            f"and at least one row, but has the columns {header} and {len(rows)} rows{commas}."
        )
    if len(set(header)) < len(header):
        raise DataFormatError(f"`{path}` must name each column once, but has {header}.")
    for line, row in rows:
        # Decimal commas make more cells, and a writer that was killed leaves fewer.
        if None in row or None in row.values():
            raise DataFormatError(
                f"Line {line} of `{path}`: it must have {len(header)} cells, with decimal points."
            )
    if ROWS_LEFT in header:
        require_all_rows((row[ROWS_LEFT] for _, row in rows), path)
    texts = [from_cell(row[ARCHITECTURE]) for _, row in rows]
    cells = {name: [row[name] for _, row in rows] for name in names}
    return Measurements(texts, cells, [line for line, _ in rows], path)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Give the header, and each row with the number of its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            reader.fieldnames = header = with_names_of_now(reader.fieldnames or ())
            return header, [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise DataNotFoundError(f"`{path}` must be a CSV file, but there is none.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataFormatError(f"`{path}` must be a CSV file, but it is not: {error}.") from error


def _number(text: str) -> float:
    """Read a cost; an empty cell is a missing value."""
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        raise ValueError(
            f"a cost must be a number such as 1.5, but is {text!r}: leave failed ones empty."
        ) from None
    if value <= 0 or math.isinf(value):
        raise ValueError(f"a cost must be positive, but is {text}: leave failed ones empty.")
    return value


def _is_numeric(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _are_row_numbers(texts: Sequence[str]) -> bool:
    """Whether whole numbers count the rows from 0 or 1."""
    counts = range(len(texts))
    return list(texts) in ([str(i) for i in counts], [str(i + 1) for i in counts])
