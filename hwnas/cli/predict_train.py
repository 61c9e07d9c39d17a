"""`hwnas predict train`: from many measurements to a pool of devices or a device's predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hwnas.cli.options import users_space
from hwnas.cli.output import note
from hwnas.cli.predict_checks import amount, note_left_out
from hwnas.cli.predict_files import looks_at_networks, own_dataset
from hwnas.cli.predict_given import (
    insist_on_columns,
    insist_on_devices,
    insist_on_transfer,
    key_of,
    unit_of,
)
from hwnas.cli.predict_options import (
    MINE,
    UNKNOWN,
    Batch,
    Columns,
    Dead,
    Out,
    Precision,
    Runtime,
    Seed,
    Space,
    Threads,
)
from hwnas.cli.predict_scores import note_missing_scores, read_extra
from hwnas.cli.progress import progress

if TYPE_CHECKING:
    from hwnas.typing import Arch, DeviceKey, SearchSpace


def train(
    measurements: Annotated[
        Path,
        typer.Option(help="CSV with architecture and one column a device, or one column alone."),
    ],
    out: Out,
    space: Space = "nasbench201",
    metric: Annotated[
        str | None,
        typer.Option(help="What was measured. [default: latency; accuracy for brp-nas-relation]"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of every column. [default: ms for latency, percent for accuracy]"),
    ] = None,
    method: Annotated[
        Literal["transfer", "help", "brp-nas", "mlp", "brp-nas-relation"],
        typer.Option(
            help="Model; transfer and help learn pools, brp-nas and mlp one device from hundreds "
            "of costs, brp-nas-relation accuracies from which of two is higher."
        ),
    ] = "transfer",
    direction: Annotated[
        Literal["minimize", "maximize"] | None,
        typer.Option(
            help="Which values are better. [default: maximize for accuracy, throughput and the "
            "like, else minimize]"
        ),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            help="Count (params, macs, flops, peak_memory, layers) or proxy whose values are "
            "features too."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set whose networks are counted and scored. [default: cifar10, or what "
            "your own space says]"
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Table of `hwnas score --out` with the proxies. [default: shipped scores]"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Name of the device, for one column of costs. [default: the column's name, and "
            "mine for a column such as latency_ms]"
        ),
    ] = None,
    runtime: Runtime = UNKNOWN,
    precision: Precision = "float32",
    batch: Batch = 1,
    threads: Threads = None,
    dead_operations: Dead = None,
    column: Columns = None,
    seed: Seed = 0,
) -> None:
    """Learn a pool of devices, or a single device where there is one column of costs.

    Several --column of one device are learned together into one file: each cost may follow the one
    that was measured the most, as far as the measurements say so.

    Example: hwnas predict train --measurements lab.csv --out lab.npz
    """
    from hwnas.cli.predict_columns import train_columns
    from hwnas.tables.measurements import read_measurements
    from hwnas.tasks.catalogue import get_task
    from hwnas.typing import DeviceKey

    names, made = extra or [], users_space(space)
    dataset = own_dataset(made) if dataset is None else dataset
    get_task(dataset)
    key = DeviceKey(device or "", runtime, precision, batch, threads)
    table = read_measurements(measurements, made)
    known = read_extra(scores, made, names)
    options = {"seed": seed, "extra": names, "dataset": dataset, "scores": known}

    def predictor_of(metric: str, unit: str) -> Any:
        return _untrained(method, made, metric, unit, direction, measurements, options)

    if column:
        insist_on_columns(predictor_of("latency", "ms"), metric, unit)
        key = key_of(table, replace(key, device=device or MINE, dead_operations=dead_operations))
        train_columns(predictor_of, table, column, key, out)
    else:
        metric = metric or ("accuracy" if method == "brp-nas-relation" else "latency")
        unit = unit_of(metric, unit)
        table.insist_on(unit)
        insist_on_devices(method, list(table.columns), key, measurements)
        _train_all(predictor_of(metric, unit), table, key, dead_operations, out)
    _note_left_alone(table, column)
    note_missing_scores(known, [made.canonical_key(arch) for arch in table.archs])


def _untrained(
    method: str, space: SearchSpace[Arch], metric: str, unit: str, direction: str | None,
    measurements: Path, options: Mapping[str, Any],
) -> Any:  # fmt: skip
    """Make a predictor that has learned nothing yet."""
    from hwnas import registry
    from hwnas.files.pinned import sha256
    from hwnas.tables.directions import larger_is_better

    # Choices alone say little of a space of one's own; what shipped pools are of has its features.
    looks: dict[str, Any] = {}
    if method == "transfer" and looks_at_networks(space):
        looks = {"network": True, "power": 0.5}
    better = direction or ("maximize" if larger_is_better(metric) else "minimize")
    make = registry.load("predictors", method)
    return make(space, metric, unit, better, data=sha256(measurements), **options, **looks)


def _train_all(
    predictor: Any, table: Any, key: DeviceKey, dead_operations: str | None, out: Path
) -> None:
    """Learn every column of costs: those of a pool, or the one of a device."""
    from hwnas.tables.measurements import column_name

    metric, unit = predictor.metric, predictor.unit
    costs = list(table.columns.values())
    if single := len(costs) == 1:
        (name,) = table.columns
        own = name.removesuffix(column_name(metric, unit)).removesuffix("_") or MINE
        key = replace(key, device=key.device or own)
        predictor.set_device(key)  # a wrong name is told before the training
    told = {} if dead_operations is None else {"dead_operations": [dead_operations] * len(costs)}
    insist_on_transfer(predictor, told)
    progress.stage(f"learning {len(costs)} x {len(table.archs):,} values by {predictor.kind}")
    predictor.fit(table.archs, costs[0] if single else costs, **told)
    if single:
        predictor.set_device(replace(key, dead_operations=predictor.device.dead_operations))
    predictor.save(out)
    amounts = ", ".join(f"{name} ({amount(c)})" for name, c in table.columns.items())
    where = f" on {predictor.device}" if single else ""
    note(f"{out}: {f'{metric} in {unit}' if unit else metric}{where}: {amounts}")
    if single:
        note_left_out(predictor, costs[0][costs[0] == costs[0]])  # empty cells are no measurements


def _note_left_alone(table: Any, asked: Sequence[str] | None) -> None:
    """Name the columns that are no costs; with columns asked for, these and the device are used."""
    from hwnas.cli.predict_columns import metric_and_unit
    from hwnas.tables.measurements import KEY, column_name

    used = {column_name(*metric_and_unit(name)) for name in asked or ()}
    if asked and table.key is not None:
        used.update(KEY)
    if left := [name for name in table.left_out if name not in used]:
        note(f"columns left alone, as they are no costs: {', '.join(map(repr, left))}.")
