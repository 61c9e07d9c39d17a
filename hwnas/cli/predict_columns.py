"""Several costs of one device, for `hwnas predict adapt|train --column ... --column ...`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.output import note
from hwnas.cli.predict_checks import amount, note_left_out, note_wrong
from hwnas.cli.progress import progress

if TYPE_CHECKING:
    from hwnas.typing import DeviceKey

_UNITS = {"mj": "mJ", "uj": "uJ", "nj": "nJ", "j": "J", "w": "W", "mw": "mW"}
"""How units are written that column names have in small letters."""


def metric_and_unit(column: str) -> tuple[str, str]:
    """Read the name of a column.

    Raises:
        InvalidValueError: it names no unit.

    Example:
        >>> metric_and_unit("energy_mj")
        ('energy', 'mJ')
    """
    from hwnas.errors import InvalidValueError

    metric, _, unit = column.rpartition("_")
    if not metric or not unit:
        raise InvalidValueError(
            f"`--column` must be METRIC_UNIT, e.g. energy_mj, but got {column!r}: rename it."
        )
    return metric, _UNITS.get(unit.lower(), unit)


def metrics_and_units(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read the names of columns.

    Raises:
        InvalidValueError: a column is named twice, or names no unit.
    """
    from hwnas.errors import InvalidValueError

    named = {column: metric_and_unit(column) for column in columns}
    if len(named) < len(columns):
        raise InvalidValueError(f"`--column` must name each once, but got {', '.join(columns)}.")
    return named


def adapt_columns(
    pool_of: Callable[[str], Any],
    table: Any,
    columns: Sequence[str],
    key: DeviceKey,
    out: Path,
    companion: Any | None = None,
) -> None:
    """Learn costs of one device and write them into one file.

    The one with the most measurements, the first of several, is learned alone, or beside
    `companion`. Another may follow it where it was measured at further architectures. Where both
    were measured at the same ones, costs that are multiples of each other but for noise say no more
    together than apart (autokrigeability; Bonilla et al., Multi-task Gaussian Process Prediction,
    2007, section 2.3), and are learned apart.

    Args:
        pool_of: gives the pool that a column's costs are learned with.
        table: measurements of the device.
        columns: names of the columns.
        key: the device.
        out: predictor file to write.
        companion: what the first cost may follow.

    Raises:
        InvalidValueError: a column is named twice, names no unit, or is not there.
        DataFormatError: a cell is no positive number.
    """
    import numpy as np

    from hwnas.files.predictor_columns import join

    named = metrics_and_units(columns)
    costs = {column: table.of(*parts) for column, parts in named.items()}
    known = {column: np.isfinite(costs[column]) for column in columns}
    first = max(columns, key=lambda column: int(known[column].sum()))
    progress.stage(f"learning {len(columns)} costs of {key}")
    found: dict[str, Any] = {}
    for column in (first, *(c for c in columns if c != first)):
        more = column == first or bool(np.any(known[first] & ~known[column]))
        told = {"companion": found.get(first, companion)} if more else {}
        adapted = pool_of(column).adapt(table.archs, costs[column], key, **told)
        adapted.metric, adapted.unit = named[column]
        found[column] = adapted
    progress.hide()
    files = {column: found[column].to_file() for column in columns}
    (join(files) if len(files) > 1 else files[first]).write(out)
    for column in columns:
        cost = f"predictor:{out}{f':{column}' if len(files) > 1 else ''}"
        follows = found[column].follows
        share = follows if column != first else None
        beside = f", follows {first} with {100 * share:.0f} %" if share else ""
        note(
            f"{column} on {found[column].device} from {amount(costs[column])}{beside}; search with "
            f"--cost {cost}"
        )
        note_left_out(found[column], costs[column])
        note_wrong(found[column], table.archs, costs[column])


def train_columns(
    predictor_of: Callable[[str, str], Any],
    table: Any,
    columns: Sequence[str],
    key: DeviceKey,
    out: Path,
) -> None:
    """Learn several costs of one device, each from its own measurements and beside the first.

    Args:
        predictor_of: gives the predictor to be fitted, by metric and unit.
        table: measurements of the device.
        columns: names of the columns.
        key: the device.
        out: predictor file to write.
    """

    def pool_of(column: str) -> Any:
        metric, unit = metric_and_unit(column)
        costs = table.of(metric, unit)
        return predictor_of(metric, unit).fit(table.archs, costs, [key.dead_operations])

    adapt_columns(pool_of, table, columns, key, out)
