"""The costs ``table:FILE.csv``: what was measured elsewhere or published, looked up.

``table:FILE.csv:COLUMN`` names a column, ``table:FILE.csv:COLUMN:maximize`` one whose larger values
are better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Generic, get_args

import numpy as np

from hwnas.costs.published import PublishedCost, provenance_of
from hwnas.costs.source import CostOption, CostRequest
from hwnas.errors import DataFormatError, InvalidValueError, unknown_name
from hwnas.files.named_column import file_and_column
from hwnas.tables.directions import larger_is_better
from hwnas.tables.measurements import Measurements, read_measurements
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

_UNITS = {
    **{unit: unit for unit in ("s", "ms", "us", "ns", "bytes")},
    **{unit.lower(): unit for unit in ("J", "mJ", "uJ", "W", "mW")},
}
"""Units by the end of a column's name."""


@dataclass(frozen=True)
class _LookUp(Generic[Arch]):
    """Costs by the text of the exact architecture, else by its class."""

    space: SearchSpace[Arch]
    exact: Mapping[str, float]
    of_class: Mapping[str, float]

    def __call__(self, archs: Sequence[Arch]) -> FloatArray:
        return np.array([self._of(arch) for arch in archs], dtype=np.float64)

    def _of(self, arch: Arch) -> float:
        found = self.exact.get(str(arch))
        if found is not None:
            return found
        return self.of_class.get(self.space.canonical_key(arch), math.nan)


def table_cost(
    path: Path, column: str | None, request: CostRequest, direction: Direction | None = None
) -> PublishedCost[Any]:
    """Make the look-up of a column of a CSV file.

    Several rows of an architecture are runs, whose median counts. An architecture that is not in
    the file has the median of the equal ones that are, and without these none: a search proposes
    what has a cost alone.

    Args:
        path: a table with the column ``architecture`` and a column a cost, e.g. ``latency_ms``;
            columns ``device``, ``runtime``, ``precision``, ``batch`` and ``threads`` may say what
            was measured on.
        column: the column; None for the only one.
        request: space and task.
        direction: which values are better; None for smaller ones, as of costs.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it is no such table, an architecture is none of the space, a cost is no
            positive number, or the column is empty.
        UnknownNameError: it has no such column of costs.
        InvalidValueError: no column is named, and there are several or none; or no direction is,
            and the column's name is that of something of which more is better.
    """
    table = read_measurements(path, request.space)
    name = _column(table, column)
    if direction is None and larger_is_better(name):
        raise InvalidValueError(
            f"`cost` must say which values of {name!r} are better: write table:{path}:{name}"
            f":maximize, or :minimize. Accuracies of a few networks, from which a search learns, "
            f"are its --labels instead."
        )
    runs: dict[str, list[float]] = {}
    alike: dict[str, list[float]] = {}
    measured: dict[str, Any] = {}
    for arch, value in zip(table.archs, table.costs(name).tolist(), strict=True):
        if value == value:
            measured.setdefault(str(arch), arch)
            runs.setdefault(str(arch), []).append(value)
            alike.setdefault(request.space.canonical_key(arch), []).append(value)
    if not runs:
        raise DataFormatError(f"`{path}` must have costs in the column {name!r}, but has none.")
    metric, unit = _metric_and_unit(name)
    return PublishedCost(
        metric=metric,
        unit=unit,
        device=table.key or DeviceKey(re.sub(r"\W+", "_", path.stem), precision="unknown"),
        dataset=request.task.name,
        provenance=provenance_of(f"column {name} of {path.name}", path),
        look_up=_LookUp(
            request.space,
            {text: median(values) for text, values in runs.items()},
            {key: median(values) for key, values in alike.items()},
        ),
        covers=list(measured.values()),
        direction=direction or "minimize",
    )


def _column(table: Measurements, column: str | None) -> str:
    if column is None and len(table.names) == 1:
        return table.names[0]
    if column is None:
        raise InvalidValueError(
            f"`cost` must be table:{table.path}:COLUMN, one of "
            f"{', '.join(table.names) or 'none that there are'}, but no column is named."
        )
    if column not in table.names:
        raise unknown_name(f"column of {table.path}", column, table.names)
    return column


def _metric_and_unit(column: str) -> tuple[str, str]:
    """Read ``latency_ms``; a column without a unit is a plain number."""
    metric, _, unit = column.rpartition("_")
    known = _UNITS.get(unit.lower())
    return (metric, known) if metric and known is not None else (column, "")


class TableSource:
    """Tables of the user's own as costs: a `FileCostSource`."""

    def options(self) -> list[CostOption]:
        """List nothing: what there is stands in the files."""
        return []

    def make(self, request: object) -> PublishedCost[Any]:
        """Refuse: a file must be named."""
        raise InvalidValueError(f"`cost` must be table:FILE, but got {request!r}.")

    def open(self, file: Path, request: CostRequest) -> PublishedCost[Any]:
        """Read ``FILE.csv`` or ``FILE.csv:COLUMN``, with or without a direction behind it.

        See `table_cost`.
        """
        direction: Direction | None = None
        for found in get_args(Direction):
            if (rest := str(file).removesuffix(f":{found}")) != str(file):
                file, direction = Path(rest), found
        return table_cost(*file_and_column(file), request, direction)
