"""Options and arguments that several commands of `hwnas predict` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

MINE = "mine"
"""Name of a device that is given none."""
UNKNOWN = "unknown"
"""Software of a device of which nothing is said."""

Space = Annotated[str, typer.Option(help="Search space, by name or repr: see `hwnas spaces`.")]
Pool = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Pool written by `train`. [default: the one of the package; none in a space that "
        "has none, where the work of the networks is looked at]",
    ),
]
Csv = Annotated[
    Path,
    typer.Option("--measurements", help="CSV with the columns architecture and e.g. latency_ms."),
]
Out = Annotated[Path, typer.Option(help="Predictor file to write.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Runtime = Annotated[str, typer.Option(help="Software that ran the networks.")]
Precision = Annotated[str, typer.Option(help="Number format.")]
Batch = Annotated[int, typer.Option(min=1, help="Images a run.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Dead = Annotated[
    Literal["executed", "pruned"] | None,
    typer.Option(
        "--dead-operations",
        help="What the runtime does with operations that have no effect. "
        "[default: what the measurements say; pruned if none has such operations]",
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
