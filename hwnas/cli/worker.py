"""`hwnas worker`: run trials of a search that another process or machine has started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Backend, Cluster, Jobs, LimitSeconds, OwnSpace
from hwnas.cli.output import note
from hwnas.cli.progress import ProgressBar


def worker(
    storage: Annotated[
        str, typer.Option(help="Storage of the search: URL, journal:FILE or grpc://HOST:PORT.")
    ],
    study: Annotated[str, typer.Option(help="Study name in the storage.")] = "hwnas",
    jobs: Jobs = 1,
    backend: Backend = "loky",
    cluster: Cluster = None,
    limit_seconds: LimitSeconds = None,
    space: OwnSpace = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. \\[default: HWNAS_DATA]")
    ] = None,
) -> None:
    """Join a search until its study has enough trials.

    Any number of workers may join and leave; a trial of one that died is run by another.

    Example: hwnas worker --storage postgresql://user@host/name --study hwnas
    """
    from hwnas.evaluation.backends import parallel_backend
    from hwnas.spaces.space_text import permit
    from hwnas.study.worker import Worker

    if space is not None:
        permit(space)
    with parallel_backend(backend, jobs, cluster), ProgressBar() as bar:
        ran = Worker(storage, study, data, jobs, bar, limit_seconds).run()
    note(f"{ran} trials run here. Front: hwnas pareto show STORAGE --study {study}")
