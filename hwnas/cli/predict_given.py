"""What is given to the commands of `hwnas predict` must fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.predict_files import POOLS
from hwnas.cli.predict_options import MINE, UNKNOWN

if TYPE_CHECKING:
    from hwnas.typing import DeviceKey

_UNITS = {"latency": "ms", "accuracy": "percent"}


def insist_on_columns(pool: Any, metric: str | None, unit: str | None) -> None:
    """Refuse what --column says already, and pools that learn one cost."""
    _insist_on_columns_alone(metric, unit)
    insist_on_transfer(pool, {"column": True})


def _insist_on_columns_alone(metric: str | None, unit: str | None) -> None:
    from hwnas.errors import InvalidValueError

    if metric is not None or unit is not None:
        raise InvalidValueError(
            "`--column` names metric and unit, but got --metric or --unit as well: leave them out."
        )


def insist_on_costs(
    table: Any, columns: Sequence[str], metric: str | None, unit: str | None, pool: Path | None
) -> None:
    """Refuse a file without the costs that are to be learned.

    Where a pool of the user's says which these are, that is not known here.

    Raises:
        InvalidValueError: options do not go together, or a column is not there.
        DataFormatError: a cell is no positive number.
    """
    from hwnas.cli.predict_columns import metrics_and_units

    if columns:
        _insist_on_columns_alone(metric, unit)
        asked = list(metrics_and_units(columns).values())
    elif pool is not None and metric is None:
        return
    else:
        asked = [(metric or "latency", unit_of(metric or "latency", unit))]
    for parts in asked:
        table.of(*parts)


def insist_on_direction(pool: Any, metrics: Sequence[str]) -> None:
    """Refuse to learn what should be large from a pool of costs, which are searched for small ones.

    Raises:
        InvalidValueError: there is such a metric.
    """
    from hwnas.errors import InvalidValueError
    from hwnas.tables.directions import larger_is_better

    for metric in filter(larger_is_better, metrics if pool.direction == "minimize" else ()):
        raise InvalidValueError(
            f"`--metric` or `--column` must be a cost as the pool's, of which less is better, but "
            f"got {metric}: learn it from its own values by `hwnas predict train`."
        )


def metric_and_unit_for(pool: Any, metric: str | None, unit: str | None) -> tuple[str, str]:
    """Give what is measured: the pool's metric and unit where none are named."""
    if metric is None and unit is None:
        return pool.metric, pool.unit
    return metric or pool.metric, unit_of(metric or pool.metric, unit)


def insist_on_transfer(pool: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that a pool of the kind `help` knows nothing of."""
    from hwnas.errors import InvalidValueError

    if options and pool.kind != "transfer":
        names = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise InvalidValueError(
            f"`--model` must be a pool of the kind transfer for {names}, but its kind is "
            f"{pool.kind}: train one with `hwnas predict train --method transfer`."
        )


def key_of(table: Any, named: DeviceKey) -> DeviceKey:
    """Give the key that the file states; what is named besides must not contradict it."""
    from hwnas.errors import InvalidValueError
    from hwnas.typing import DeviceKey

    if table.key is None:
        return named
    usual = DeviceKey(MINE, UNKNOWN)
    for part in ("device", "runtime", "precision", "batch", "threads"):
        own, stated = getattr(named, part), getattr(table.key, part)
        if own not in (getattr(usual, part), stated):
            raise InvalidValueError(
                f"`--{part}` must be that of the measurements, {stated!r}, but got {own!r}: leave "
                f"it out, or measure there."
            )
    found: DeviceKey = table.key
    return found


def unit_of(metric: str, unit: str | None) -> str:
    """Give the unit of a metric: the usual one where none is named."""
    from hwnas.errors import InvalidValueError

    if (found := _UNITS.get(metric) if unit is None else unit) is None:
        raise InvalidValueError(f"`--unit` must be given for {metric}, e.g. --unit mJ.")
    return found


def insist_on_devices(method: str, columns: list[str], key: DeviceKey, file: Path) -> None:
    """Refuse several columns of costs where there must be one, and one's name for several."""
    from hwnas.errors import InvalidValueError
    from hwnas.typing import DeviceKey

    if len(columns) == 1:
        return
    if method not in POOLS:
        raise InvalidValueError(
            f"`measurements` must have one column of costs for {method}, but got "
            f"{', '.join(columns)}: train on one device at a time."
        )
    if key != DeviceKey(""):
        raise InvalidValueError(
            f"`--device`, `--runtime`, `--precision`, `--batch` and `--threads` must be given for "
            f"one device, but {str(file)!r} has the columns {', '.join(columns)}: "
            f"give them to `hwnas predict adapt`."
        )
