"""The options of commands that score in parallel."""

from __future__ import annotations

from typing import Annotated

import typer

Jobs = Annotated[int, typer.Option(help="Worker processes; -1 for all cores.")]
Backend = Annotated[
    str,
    typer.Option(help="Where they run: loky (here), ray or dask, each an extra of its name."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a ray or dask cluster. [default: one that is started here]"),
]
