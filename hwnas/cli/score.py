"""`hwnas score`: zero-cost proxies of architectures, or of any torch network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.architectures import parse_architectures
from hwnas.cli.options import (
    Archs,
    ArchsFile,
    Backend,
    Classes,
    Cluster,
    Dataset,
    Device,
    Images,
    Jobs,
    LimitSeconds,
    Reduced,
    chosen_networks,
    names_function,
    sizes_text,
    with_size,
)
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.progress import progress
from hwnas.cli.table_file import check_table, write_table
from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.files.csv_table import ARCHITECTURE

if TYPE_CHECKING:
    from hwnas.study.settings import SearchSettings
    from hwnas.tables.result import Result
    from hwnas.tasks.task import Task, TensorSpec
    from hwnas.typing import Arch, Proxy, SearchSpace

Row = dict[str, Any]
SECONDS = "_seconds"
"""Ends the names of columns that say how long a proxy took."""


def score(
    space: Annotated[str | None, typer.Option(help="Search space: see `hwnas spaces`.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A torch network as module:callable, instead of a space; or a function of a "
            "trial, whose networks are a space."
        ),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Shape of what --model gets: C,H,W of an image, C,T of a signal, F of a vector, "
            "T of tokens, whose vocabulary stands in --classes.",
        ),
    ] = None,
    classes: Classes = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            "--objective",
            help="Proxy, or 'all', which takes 10 s a network. [default: nine cheap ones]",
        ),
    ] = None,
    arch: Archs = None,
    archs: ArchsFile = None,
    sample: Annotated[int, typer.Option(min=0, help="Architectures to draw at random.")] = 0,
    whole_space: Annotated[
        bool, typer.Option("--whole-space", help="Every different network of the space, once.")
    ] = False,
    dataset: Dataset = None,
    batch: Annotated[int, typer.Option(min=2, help="Images that the proxies see.")] = 64,
    images: Images = "gaussian",
    reduced: Reduced = "",
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and input.")] = 0,
    jobs: Jobs = 1,
    device: Device = "cpu",
    backend: Backend = "loky",
    cluster: Cluster = None,
    limit_seconds: LimitSeconds = None,
    output: Annotated[
        str | None,
        typer.Option(help="Name or index of the output, if --model returns more than one."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a table: .csv, or .parquet with the extra parquet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Score architectures of a space, or any torch network, without training.

    What is finished is kept: the same command goes on where an interrupted one stopped.

    Example: hwnas score --sample 10 --proxy naswot --proxy synflow --jobs 2 --out scores.csv
    """
    from hwnas.evaluation.backends import parallel_backend
    from hwnas.functions.score import DEFAULT_PROXIES
    from hwnas.measure.isolation import child_with
    from hwnas.measure.limits import Limits, within_memory
    from hwnas.proxies import make_proxies

    if out is not None:
        check_table(out)
    proxies = make_proxies(proxy or DEFAULT_PROXIES)
    wanted = _Wanted(arch or [], archs, sample, whole_space)
    if model is not None and space is None and names_function(model, limit_seconds):
        space, model = model, None
    if model is not None:
        if space is not None or arch or archs or sample or whole_space:
            raise InvalidValueError(
                "`--model` must be given without --space, --arch, --archs, --sample and "
                "--whole-space, but got both: choose one."
            )
        if reduced:
            raise InvalidValueError(
                "`--reduced` must be given with --space, but got --model: give a smaller --input."
            )
        given = _Input(batch, images, data, device)
        limits = Limits() if limit_seconds is None else Limits(limit_seconds)
        child = child_with(within_memory(limits))
        rows = [child.call(_score_model, model, in_shape, classes, proxies, given, seed, output)]
    else:
        from hwnas.study.settings import SearchSettings

        name, task = chosen_networks(
            space or "nasbench201", dataset, images, in_shape, classes, limit_seconds
        )
        settings = SearchSettings(
            name, task, batch=batch, images=images, seed=seed, reduced=reduced
        )
        with parallel_backend(backend, jobs, cluster):
            rows = _score_space(settings, proxies, wanted, data, device, jobs, limit_seconds)
    _write(rows, proxies, out, as_json)


@dataclass(frozen=True)
class _Input:
    """What proxies of a model see: images, the folder of published ones, and on what."""

    batch: int
    images: str
    data: Path | None
    device: str


@dataclass(frozen=True)
class _Wanted:
    """The architectures that were asked for: strings, a file, a number to draw, or all."""

    texts: Sequence[str]
    file: Path | None
    sample: int
    whole_space: bool

    def read(self, space: SearchSpace[Arch], seed: int) -> list[Arch]:
        """Parse or draw the architectures; a bad line is named by its number."""
        import numpy as np

        from hwnas.spaces.facets import Listing, facet

        found = parse_architectures(space, self.texts, self.file)
        rng = np.random.default_rng(seed)
        found += [space.sample(rng) for _ in range(self.sample)]
        if self.whole_space:
            if (members := facet(space, Listing)) is None:
                raise InvalidValueError(
                    f"`--whole-space` must be given for a space that can be listed, but "
                    f"{space.name} cannot: try --sample 1000."
                )
            found += dict.fromkeys(space.representative(arch) for arch in members)
        if not found:
            raise InvalidValueError(
                "Architectures must be given with --arch, --archs, --sample or --whole-space, but "
                "there is none: try --sample 10."
            )
        return found


def _score_space(
    settings: SearchSettings,
    proxies: Sequence[Proxy],
    wanted: _Wanted,
    data: Path | None,
    device: str,
    jobs: int,
    limit_seconds: float | None,
) -> list[Row]:
    from hwnas.evaluation.evaluator import Evaluator
    from hwnas.evaluation.objectives import proxy_objective
    from hwnas.measure.endless import forget
    from hwnas.spaces.space_text import named_space
    from hwnas.study.configuration import EvaluationSetup, bounded

    forget()
    space = named_space(settings.space)
    limits = bounded(space, limit_seconds)
    setup = EvaluationSetup.of(settings, space, data_folder=data, device=device)
    archs = wanted.read(space, settings.seed)
    source = setup.proxies(proxies)
    progress.stage("scoring")
    with ResultCache.default() as cache:
        evaluator = Evaluator(
            space,
            [proxy_objective(source, p.name) for p in proxies],
            cache=cache,
            jobs=jobs,
            require_valid=False,
            limits=limits,
            report=progress.count,
            task=setup.task,
        )
        found = evaluator.evaluate(archs)
    return [_row({ARCHITECTURE: str(e.arch), "key": e.key}, e.results) for e in found]


def _row(first: Row, results: Mapping[str, Result]) -> Row:
    """Put what was scored, the scores and their seconds into one row."""
    errors = {name: result.error for name, result in results.items() if result.error}
    return {
        **first,
        **{name: result.value for name, result in results.items()},
        **{f"{name}{SECONDS}": result.seconds for name, result in results.items()},
        "seconds": sum(result.seconds for result in results.values()),
        **({"errors": errors} if errors else {}),
    }


def _score_model(
    spec: str,
    in_shape: str | None,
    classes: str | None,
    proxies: Sequence[Proxy],
    given: _Input,
    seed: int,
    output: str | None,
) -> Row:
    from hwnas.functions.score import score as score_model
    from hwnas.networks.importing import load_model

    scores = score_model(
        load_model(spec, seed),
        _model_task(in_shape, classes, given.images),
        proxies,
        images=given.images,
        batch_size=given.batch,
        seed=seed,
        output=output,
        data_folder=given.data,
        device=given.device,
    )
    return _row({"model": spec}, scores.results)


def _model_task(in_shape: str | None, classes: str | None, images: str) -> Task | TensorSpec:
    """Tell what the user's network gets: what is written, or what the images are."""
    from hwnas.data.own_images import OwnImages
    from hwnas.networks.importing import parse_sizes
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import TensorSpec

    in_shape, classes = with_size(in_shape, classes, images)
    if classes is not None:
        return get_task(sizes_text(in_shape, classes, None))
    if in_shape is not None:
        return TensorSpec.of(parse_sizes(in_shape))
    if (own := OwnImages.parse(images)) is None:
        raise InvalidValueError("`--input` must give the shape that --model gets, e.g. 3,32,32.")
    return own.known


def _write(rows: list[Row], proxies: Sequence[Proxy], out: Path | None, as_json: bool) -> None:
    for row in rows:
        told: dict[str, list[str]] = {}
        for name, reason in row.get("errors", {}).items():
            told.setdefault(reason, []).append(name)
        for reason, names in told.items():
            have = "has" if len(names) == 1 else "have"
            which = row.get(ARCHITECTURE, row.get("model"))
            note(f"{', '.join(names)} {have} no value for {which}: {reason}")
    if out is not None:
        try:
            write_table([{k: v for k, v in row.items() if k != "errors"} for row in rows], out)
        except HwnasError:
            print_json_lines(rows)  # what was paid for is not lost with a disk that is full
            raise
        note(f"{len(rows)} rows written to {out}.")
    if as_json:
        print_json_lines(rows)
    elif out is None:
        arrow = {"maximize": "↑", "minimize": "↓"}
        first = "model" if "model" in rows[0] else ARCHITECTURE
        names = [p.name for p in proxies]
        means = {n: sum(row[n + SECONDS] for row in rows) / len(rows) for n in names}
        note("Seconds a network: " + ", ".join(f"{n} {mean:.3g}" for n, mean in means.items()))
        columns = [first, *(f"{p.name} {arrow[p.direction]}" for p in proxies), "seconds"]
        print_table(
            columns, [[row[first], *(row[n] for n in names), row["seconds"]] for row in rows]
        )
