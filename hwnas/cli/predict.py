"""`hwnas predict`: from a few measurements to the cost of every architecture on a device."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hwnas.cli.options import ArchsFile, OwnSpace
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.predict_checks import amount, compared, note_left_out, note_wrong
from hwnas.cli.predict_files import (
    POOLS,
    looks_at_networks,
    open_companion,
    open_pool,
    open_predictors,
    own_dataset,
)
from hwnas.cli.progress import progress
from hwnas.files.csv_table import ARCHITECTURE, as_cell

if TYPE_CHECKING:
    from hwnas.typing import DeviceKey, SearchSpace

app = typer.Typer(
    help="Predict the latency or energy of every architecture from a few measurements.",
    no_args_is_help=True,
)

Space = Annotated[str, typer.Option(help="Search space, by name or repr: see `hwnas spaces`.")]
Pool = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Pool written by `train`. \\[default: the one of the package; none in a space that "
        "has none, where the work of the networks is looked at]",
    ),
]
Csv = Annotated[
    Path,
    typer.Option("--measurements", help="CSV with the columns architecture and e.g. latency_ms."),
]
Out = Annotated[Path, typer.Option(help="Predictor file to write.")]
Predictor = Annotated[Path, typer.Argument(metavar="FILE", help="Predictor file.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Runtime = Annotated[str, typer.Option(help="Software that ran the networks.")]
Precision = Annotated[str, typer.Option(help="Number format.")]
Batch = Annotated[int, typer.Option(min=1, help="Images a run.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Dead = Annotated[
    Literal["executed", "pruned"] | None,
    typer.Option(
        "--dead-operations",
        help="What the runtime does with operations that have no effect. "
        "\\[default: what the measurements say; pruned if none has such operations]",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        help="Column of costs of one device, e.g. latency_ms. Several are learned together into "
        "one file: search with predictor:FILE:COLUMN."
    ),
]
Metric = Annotated[str | None, typer.Option(help="What was measured, e.g. energy.")]
Unit = Annotated[str | None, typer.Option(help="Its unit, e.g. mJ.")]
_MINE = "mine"
_UNKNOWN = "unknown"
_UNITS = {"latency": "ms", "accuracy": "percent"}


@app.command()
def support(
    space: Space = "nasbench201",
    n: Annotated[int, typer.Option("-n", min=2, help="Architectures to measure.")] = 10,
    seed: Seed = 0,
    model: Pool = None,
    dead_operations: Annotated[
        Literal["executed", "pruned"] | None,
        typer.Option(
            help="What the runtime does with operations that have no effect: where it executes "
            "them, architectures that have some are asked for too. "
            "\\[default: pruned, unless every device of the pool executes them]"
        ),
    ] = None,
    metric: Metric = None,
    unit: Unit = None,
) -> None:
    """Print the architectures to measure, as a CSV file to be filled in.

    They are chosen so that their measurements say the most about all others.

    Example: hwnas predict support -n 10 > mine.csv
    """
    from hwnas.tables.measurements import column_name

    pool = open_pool(space, model)
    metric, unit = _metric_and_unit(pool, metric, unit)
    told = {} if dead_operations is None else {"dead_operations": dead_operations}
    _insist_on_transfer(pool, told)
    progress.stage(f"choosing {n} architectures")
    chosen = pool.choose_support(n, seed, **told)
    progress.hide()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([ARCHITECTURE, column_name(metric, unit)])
    writer.writerows([as_cell(str(arch)), ""] for arch in chosen)


@app.command()
def adapt(
    measurements: Csv,
    out: Out,
    space: Space = "nasbench201",
    model: Pool = None,
    device: Annotated[str, typer.Option(help="Name of the device.")] = _MINE,
    runtime: Runtime = _UNKNOWN,
    precision: Precision = "float32",
    batch: Batch = 1,
    threads: Threads = None,
    dead_operations: Dead = None,
    metric: Metric = None,
    unit: Unit = None,
    column: Columns = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Predictor whose costs these may follow, FILE or FILE:COLUMN: one of `build`, or "
            "of another cost or device.",
        ),
    ] = None,
) -> None:
    """Make the predictor of a device from a few measured architectures.

    Any cost that grows with the work can be learned from a pool of latencies, e.g. the column
    energy_mj with --metric energy --unit mJ. How well each measurement is predicted from the others
    is printed. With several --column each cost may follow the one that was measured the most, as
    far as the measurements say so: some energies beside more latencies are enough.

    Example: hwnas predict adapt --space nasbench201 --measurements mine.csv --out mine.npz
    """
    from hwnas.cli.predict_columns import adapt_columns
    from hwnas.errors import InvalidValueError
    from hwnas.tables.measurements import read_measurements
    from hwnas.typing import DeviceKey

    pool = open_pool(space, model)
    table = read_measurements(measurements, pool.space)
    named = DeviceKey(device, runtime, precision, batch, threads)
    key = replace(_key_of(table, named), dead_operations=dead_operations)
    told = {} if beside is None else {"companion": open_companion(beside, pool)}
    if column:
        _insist_on_columns(pool, metric, unit)
        if told and len(column) > 1:
            raise InvalidValueError("`--beside` must be given for one `--column`, but got several.")
        adapt_columns(lambda _: pool, table, column, key, out, **told)
        return
    metric, unit = _metric_and_unit(pool, metric, unit)
    costs = table.of(metric, unit)
    progress.stage(f"learning {key} from {amount(costs)}")
    adapted = pool.adapt(table.archs, costs, key, **told)
    adapted.metric, adapted.unit = metric, unit
    adapted.save(out)
    note(
        f"{out}: {metric} in {unit} on {adapted.device} from {amount(costs)}; search with --cost "
        f"predictor:{out}"
    )
    note_left_out(adapted, costs)
    note_wrong(adapted, table.archs, costs)


def _insist_on_columns(pool: Any, metric: str | None, unit: str | None) -> None:
    """Refuse what --column says already, and pools that learn one cost."""
    from hwnas.errors import InvalidValueError

    if metric is not None or unit is not None:
        raise InvalidValueError(
            "`--column` names metric and unit, but got --metric or --unit as well: leave them out."
        )
    _insist_on_transfer(pool, {"column": True})


def _metric_and_unit(pool: Any, metric: str | None, unit: str | None) -> tuple[str, str]:
    """Give what is measured: the pool's metric and unit where none are named."""
    if metric is None and unit is None:
        return pool.metric, pool.unit
    return metric or pool.metric, _unit(metric or pool.metric, unit)


def _insist_on_transfer(pool: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that a pool of the kind `help` knows nothing of."""
    from hwnas.errors import InvalidValueError

    if options and pool.kind != "transfer":
        names = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise InvalidValueError(
            f"`--model` must be a pool of the kind transfer for {names}, but its kind is "
            f"{pool.kind}: train one with `hwnas predict train --method transfer`."
        )


@app.command()
def train(
    measurements: Annotated[
        Path, typer.Option(help="CSV with arch and one column a device, or one column alone.")
    ],
    out: Out,
    space: Space = "nasbench201",
    metric: Annotated[
        str | None,
        typer.Option(help="What was measured. \\[default: latency; accuracy for brp-nas-relation]"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Unit of every column. \\[default: ms for latency, percent for accuracy]"
        ),
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
        typer.Option(help="Which values are better. \\[default: maximize for accuracy only]"),
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
            help="Data set whose networks are counted and scored. \\[default: cifar10, or what "
            "your own space says]"
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Table of `hwnas score --out` with the proxies. \\[default: shipped scores]"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Name of the device, for one column of costs. \\[default: the column's name, and "
            "mine for a column such as latency_ms]"
        ),
    ] = None,
    runtime: Runtime = _UNKNOWN,
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
    from hwnas import registry
    from hwnas.cli.predict_columns import train_columns
    from hwnas.files.pinned import sha256
    from hwnas.spaces.space_text import named_space
    from hwnas.tables.measurements import column_name, read_measurements
    from hwnas.tasks.catalogue import get_task
    from hwnas.typing import DeviceKey

    names, made = extra or [], named_space(space)
    dataset = own_dataset(made) if dataset is None else dataset
    get_task(dataset)
    key = DeviceKey(device or "", runtime, precision, batch, threads)
    table = read_measurements(measurements, made)
    known = _scores(scores, made, names)

    def predictor_of(metric: str, unit: str) -> Any:
        # Choices alone say little of a space of one's own; what shipped pools are of has its
        # features.
        looks: dict[str, Any] = {}
        if method == "transfer" and looks_at_networks(made):
            looks = {"network": True, "power": 0.5}
        return registry.load("predictors", method)(
            made, metric, unit,
            direction or ("maximize" if metric == "accuracy" else "minimize"),
            seed=seed, data=sha256(measurements), extra=names, dataset=dataset, scores=known,
            **looks,
        )  # fmt: skip

    if column:
        named = replace(key, device=device or _MINE, dead_operations=dead_operations)
        _insist_on_columns(predictor_of("latency", "ms"), metric, unit)
        train_columns(predictor_of, table, column, _key_of(table, named), out)
        return
    metric = metric or ("accuracy" if method == "brp-nas-relation" else "latency")
    unit = _unit(metric, unit)
    table.insist_on(unit)
    if table.left_out:
        note(f"columns left alone, as they are no costs: {', '.join(map(repr, table.left_out))}.")
    _insist_on_devices(method, list(table.columns), key, measurements)
    costs = list(table.columns.values())
    single = len(costs) == 1
    predictor = predictor_of(metric, unit)
    if single:
        own_name, plain = next(iter(table.columns)), column_name(metric, unit)
        own = own_name.removesuffix(plain).removesuffix("_") or _MINE
        key = replace(key, device=device or own)
        predictor.set_device(key)  # a wrong name is told before the training
    told = {} if dead_operations is None else {"dead_operations": [dead_operations] * len(costs)}
    _insist_on_transfer(predictor, told)
    progress.stage(f"learning {len(costs)} x {len(table.archs):,} values by {method}")
    predictor.fit(table.archs, costs[0] if single else costs, **told)
    if single:
        predictor.set_device(replace(key, dead_operations=predictor.device.dead_operations))
    predictor.save(out)
    _note_missing_scores(known, [made.canonical_key(arch) for arch in table.archs])
    amounts = ", ".join(f"{name} ({amount(c)})" for name, c in table.columns.items())
    where = f" on {predictor.device}" if single else ""
    note(f"{out}: {f'{metric} in {unit}' if unit else metric}{where}: {amounts}")


def _key_of(table: Any, named: DeviceKey) -> DeviceKey:
    """Give the key that the file states; what is named besides must not contradict it."""
    from hwnas.errors import InvalidValueError
    from hwnas.typing import DeviceKey

    if table.key is None:
        return named
    usual = DeviceKey(_MINE, _UNKNOWN)
    for part in ("device", "runtime", "precision", "batch", "threads"):
        own, stated = getattr(named, part), getattr(table.key, part)
        if own not in (getattr(usual, part), stated):
            raise InvalidValueError(
                f"`--{part}` must be that of the measurements, {stated!r}, but got {own!r}: leave "
                f"it out, or measure there."
            )
    found: DeviceKey = table.key
    return found


def _unit(metric: str, unit: str | None) -> str:
    """Give the unit of a metric: the usual one where none is named."""
    from hwnas.errors import InvalidValueError

    if (found := _UNITS.get(metric) if unit is None else unit) is None:
        raise InvalidValueError(f"`--unit` must be given for {metric}, e.g. --unit mJ.")
    return found


def _insist_on_devices(method: str, columns: list[str], key: DeviceKey, file: Path) -> None:
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


def _note_missing_scores(known: dict[str, dict[str, float]] | None, keys: list[str]) -> None:
    for name, by_key in (known or {}).items():
        if absent := sum(not math.isfinite(by_key[k]) for k in keys if k in by_key):
            note(f"{name}: {absent} of {len(keys)} architectures have no score")


@app.command()
def evaluate(
    file: Predictor,
    measurements: Csv,
    space: OwnSpace = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with measurements that were not used.

    Example: hwnas predict evaluate mine.npz --measurements more.csv
    """
    from hwnas.tables.measurements import read_measurements

    predictors = open_predictors(file, space)
    table = read_measurements(measurements, next(iter(predictors.values())).space)
    _show([compared(p, name, file, table) for name, p in predictors.items()], as_json)


@app.command()
def export(
    file: Predictor,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", "--architecture", help="Architecture. \\[default: the whole space]"),
    ] = None,
    archs: ArchsFile = None,
    own_space: OwnSpace = None,
    as_json: AsJson = False,
) -> None:
    """Print the predicted cost of architectures, with its standard deviation if it is known.

    Example: hwnas predict export mine.npz --json > predictions.jsonl
    """
    from hwnas.cli.architectures import parse_architectures
    from hwnas.errors import InvalidValueError
    from hwnas.spaces.facets import Listing, facet
    from hwnas.tables.measurements import column_name

    predictors = open_predictors(file, own_space)
    space = next(iter(predictors.values())).space
    if arch or archs:
        wanted = parse_architectures(space, arch or [], archs)
    elif (members := facet(space, Listing)) is not None:
        wanted = list(members)
    else:
        raise InvalidValueError(
            f"`--arch` or `--archs FILE` must be given, since {space.name} is too large to be "
            f"listed."
        )
    if not wanted:
        raise InvalidValueError(f"`--archs` must name an architecture, but {archs} has none.")
    progress.stage(f"predicting {len(wanted):,} architectures")
    columns = {}
    for predictor in predictors.values():
        name = column_name(predictor.metric, predictor.unit)
        columns[name] = predictor.predict(wanted)
        if hasattr(predictor, "predict_std"):
            columns[f"{name}_std"] = predictor.predict_std(wanted)
    rows = [
        {ARCHITECTURE: str(arch), **{n: float(values[i]) for n, values in columns.items()}}
        for i, arch in enumerate(wanted)
    ]
    _show(rows, as_json)


def _scores(
    path: Path | None, space: SearchSpace[Any], names: list[str]
) -> dict[str, dict[str, float]] | None:
    """Read the proxies of a table that are among the names, by canonical key."""
    if path is None:
        return None
    from hwnas.errors import DataFormatError, InvalidValueError
    from hwnas.tables.score_table import read_scores

    table = read_scores(path, space, note=note)
    keys = [space.canonical_key(arch) for arch in table.archs]
    found: dict[str, dict[str, float]] = {n: {} for n in table.columns if n in names}
    for name, known in found.items():
        for key, value in zip(keys, table.columns[name].tolist(), strict=True):
            other = known.setdefault(key, value)
            if math.isnan(other):
                known[key] = value
            elif other != value and not math.isnan(value):
                raise DataFormatError(
                    f"`{path}` must have one {name} for equal networks, but has {other} and "
                    f"{value} for {key}."
                )
    if not found:
        raise InvalidValueError(
            f"`--extra` must name proxies of {str(path)!r}, but got {', '.join(names) or 'none'}: "
            f"there are {', '.join(table.columns)}."
        )
    return found


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json_lines(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
