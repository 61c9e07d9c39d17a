"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Images = Annotated[
    str, typer.Option(help="gaussian, or cifar10-sample: published images, see `hwnas data`.")
]
Jobs = Annotated[int, typer.Option(help="Worker processes; -1 for all cores.")]
Backend = Annotated[
    str,
    typer.Option(help="Where they run: loky (here), ray or dask, each an extra of its name."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a ray or dask cluster. \\[default: one that is started here]"),
]
