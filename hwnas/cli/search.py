"""`hwnas search`: proxies and costs as objectives of an Optuna study, and the Pareto set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.front_table import print_front
from hwnas.cli.options import (
    Backend,
    Baseline,
    Classes,
    Cluster,
    Dataset,
    Device,
    Images,
    Input,
    Jobs,
    LimitSeconds,
    Reduced,
    Transfer,
    chosen_networks,
    names_function,
)
from hwnas.cli.output import note
from hwnas.cli.plan import PlanFirst
from hwnas.cli.progress import progress
from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet


def search(
    space: Annotated[
        str | None,
        typer.Option(
            help="Search space: see `hwnas spaces`, or MODULE:CLASS. [default: nasbench201]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Your own networks instead: MODULE:FUNCTION, where `def FUNCTION(trial)` builds "
            "one as an Optuna objective would, or a list of models; with --input and --classes."
        ),
    ] = None,
    in_shape: Input = None,
    classes: Classes = None,
    dataset: Dataset = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            "--proxy",
            help="Proxy or ready-made score, see `hwnas proxies`. [default: jacob_cov+params, or "
            "a pair that is more stable in the space]",
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            help="SOURCE:DEVICE:METRIC or predictor:FILE, see `hwnas costs`. "
            "[default: onnxruntime:cpu:latency]"
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Bound such as 'latency<=5', in the cost's unit.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV of five trained networks or more, architecture and accuracy in percent, or "
            "FILE.csv:COLUMN: the accuracy expected by them is the objective hwnas-model, the "
            "default then."
        ),
    ] = None,
    transfer: Transfer = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="What measures, when the trials are done, the candidates that a predicted cost "
            "leaves open, e.g. onnxruntime:cpu:latency; or bundle:FOLDER or csv:FOLDER, where they "
            "are written to be measured elsewhere; with --measure-budget."
        ),
    ] = None,
    measure_budget: Annotated[
        int | None, typer.Option(min=1, help="Most candidates to measure.")
    ] = None,
    sampler: Annotated[
        str,
        typer.Option(
            help="hardware-aware, another strategy of hwnas, or one of Optuna's: see "
            "`hwnas samplers`."
        ),
    ] = "hardware-aware",
    trials: Annotated[
        int,
        typer.Option(
            min=0,
            help="Trials in the end; 0 for the front that shipped scores and known costs give of "
            "the whole space.",
        ),
    ] = 64,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds after which no more trials are begun; the same command goes on later.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Images of the proxies' input.")] = 32,
    images: Images = "gaussian",
    reduced: Reduced = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    jobs: Jobs = 1,
    device: Device = "cpu",
    backend: Backend = "loky",
    cluster: Cluster = None,
    limit_seconds: LimitSeconds = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Optuna storage: URL, journal:FILE or grpc://HOST:PORT. [default: file in --out]"
        ),
    ] = None,
    study: Annotated[str, typer.Option(help="Study name in the storage.")] = "hwnas",
    baseline: Baseline = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("hwnas-results"),
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON lines.")] = False,
) -> None:
    """Search for the Pareto set of training-free scores and hardware costs.

    The same command goes on where an interrupted run stopped.

    Example: hwnas search --cost hw-nas-bench:edgegpu:energy --constraint 'params<=1e6' --trials 500

    Your own: hwnas search --model my_module:build --input 1,96,96 --classes 7 --trials 200
    """
    from hwnas.evaluation.backends import parallel_backend
    from hwnas.study.baseline import PresentNetwork
    from hwnas.study.hosts import Folder
    from hwnas.study.search import Search
    from hwnas.study.settings import DEFAULT_COST, SearchSettings

    if None not in (space, model):
        raise InvalidValueError(
            "`--model` must be given without --space, but got both: choose one."
        )
    for text in transfer or []:
        names_function(text, limit_seconds)
    networks, task = chosen_networks(
        model or space or "nasbench201", dataset, images, in_shape, classes, limit_seconds
    )
    settings = SearchSettings(
        space=networks,
        dataset=task,
        objectives=tuple(objective or []),
        costs=tuple(cost or [DEFAULT_COST]),
        constraints=tuple(constraint or []),
        sampler=sampler,
        trials=trials,
        batch=batch,
        images=images,
        seed=seed,
        measure=measure or "",
        measure_budget=measure_budget or 0,
        reduced=reduced,
        labels=str(labels or ""),
        transfer=tuple(transfer or []),
    )
    where = out if storage is None else f"{storage} and {out}"
    with parallel_backend(backend, jobs, cluster):
        present = None if baseline is None else PresentNetwork.named(baseline, limit_seconds)
        job = Search(
            settings,
            Folder(out, storage, study),
            data,
            jobs,
            progress.count,
            limit_seconds=limit_seconds,
            baseline=present,
            watch=PlanFirst(settings, str(where)),
            timeout=timeout,
            device=device,
        )
        front = job.run()
    _tell(front, job.notices, out, model, as_json)


def _tell(
    front: ParetoSet, notices: Sequence[str], out: Path, model: str | None, as_json: bool
) -> None:
    """Print the remarks, the counts, the front, and where it is."""
    from hwnas.pareto.expected import expectations_from
    from hwnas.pareto.standing import standings

    for line in notices:
        note(line)
    counts = front.provenance
    note(
        f"{counts['evaluated']} trials ({counts['repeated']} repeated, {counts['infeasible']} "
        f"infeasible, {counts['failed']} failed): {len(front)} in the Pareto set."
    )
    print_front(front, as_json)
    for line in (*standings(front), *expectations_from(front)):
        note(line)
    own = "" if model is None else f" --model {model}"
    note(
        f"Results: {out / 'report.html'}, front.json, front.csv; "
        f"ONNX: hwnas pareto export {out}{own}"
    )
