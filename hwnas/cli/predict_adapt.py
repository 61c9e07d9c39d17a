"""`hwnas predict adapt`: from a few measurements to a predictor of the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.output import note
from hwnas.cli.predict_checks import amount, note_left_out, note_wrong
from hwnas.cli.predict_files import open_companion, open_pool
from hwnas.cli.predict_given import (
    insist_on_columns,
    insist_on_costs,
    insist_on_direction,
    key_of,
    metric_and_unit_for,
)
from hwnas.cli.predict_options import (
    MINE,
    UNKNOWN,
    Batch,
    Columns,
    Csv,
    Dead,
    Metric,
    Out,
    Pool,
    Precision,
    Runtime,
    Space,
    Threads,
    Unit,
)
from hwnas.cli.progress import progress


def adapt(
    measurements: Csv,
    out: Out,
    space: Space = "nasbench201",
    model: Pool = None,
    device: Annotated[str, typer.Option(help="Name of the device.")] = MINE,
    runtime: Runtime = UNKNOWN,
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
    from hwnas.tables.measurements import read_texts
    from hwnas.typing import DeviceKey

    texts = read_texts(measurements)
    named = DeviceKey(device, runtime, precision, batch, threads)
    key = replace(key_of(texts, named), dead_operations=dead_operations)
    # Before the pool, which builds the networks of a space of one's own.
    insist_on_costs(texts, column or [], metric, unit, model)
    pool = open_pool(space, model)
    insist_on_direction(pool, [*(column or ()), *filter(None, [metric])])
    table = texts.parsed(pool.space)
    told = {} if beside is None else {"companion": open_companion(beside, pool)}
    if column:
        insist_on_columns(pool, metric, unit)
        if told and len(column) > 1:
            raise InvalidValueError("`--beside` must be given for one `--column`, but got several.")
        adapt_columns(lambda _: pool, table, column, key, out, **told)
        return
    metric, unit = metric_and_unit_for(pool, metric, unit)
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
