"""`hwnas worker`: run trials of a search that another process or machine has started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.options import Backend, Cluster, Device, Jobs, LimitSeconds, OwnSpace, names_function
from hwnas.cli.output import note
from hwnas.cli.plan import tell_plan
from hwnas.cli.progress import progress

if TYPE_CHECKING:
    from hwnas.study.settings import SearchSettings


def worker(
    storage: Annotated[
        str, typer.Option(help="Storage of the search: URL, journal:FILE or grpc://HOST:PORT.")
    ],
    study: Annotated[str, typer.Option(help="Study name in the storage.")] = "hwnas",
    jobs: Jobs = 1,
    device: Device = "cpu",
    backend: Backend = "loky",
    cluster: Cluster = None,
    limit_seconds: LimitSeconds = None,
    space: OwnSpace = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
) -> None:
    """Join a search until its study has enough trials.

    Any number of workers may join and leave; a trial of one that died is run by another.

    Example: hwnas worker --storage postgresql://user@host/name --study hwnas
    """
    from hwnas.evaluation.backends import parallel_backend
    from hwnas.spaces.space_text import permit
    from hwnas.study.worker import Worker

    def plan(settings: SearchSettings) -> None:
        tell_plan(settings, storage)

    if space is not None:
        names_function(space, limit_seconds)
        permit(space)
    with parallel_backend(backend, jobs, cluster):
        me = Worker(
            storage, study, data, jobs, progress.count, limit_seconds, progress, plan, device
        )
        ran = me.run()
    note(f"{ran} trials run here. Front: hwnas pareto show STORAGE --study {study}")
