"""`hwnas predict support`: which architectures to measure."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Literal

import typer

from hwnas.cli.predict_files import open_pool
from hwnas.cli.predict_given import insist_on_transfer, metric_and_unit_for
from hwnas.cli.predict_options import Metric, Pool, Seed, Space, Unit
from hwnas.cli.progress import progress
from hwnas.files.csv_table import ARCHITECTURE, as_cell


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
            "[default: pruned, unless every device of the pool executes them]"
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
    metric, unit = metric_and_unit_for(pool, metric, unit)
    told = {} if dead_operations is None else {"dead_operations": dead_operations}
    insist_on_transfer(pool, told)
    progress.stage(f"choosing {n} architectures")
    chosen = pool.choose_support(n, seed, **told)
    progress.hide()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([ARCHITECTURE, column_name(metric, unit)])
    writer.writerows([as_cell(str(arch)), ""] for arch in chosen)
