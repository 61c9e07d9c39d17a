"""`hwnas pareto`: look at the result of a search, and turn it into files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.front_table import print_front
from hwnas.cli.options import Baseline, OwnSpace, names_function, users_space
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.progress import progress
from hwnas.errors import HwnasError, InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.reports.folder import FRONT, REPORT, TABLE

if TYPE_CHECKING:
    from hwnas.cli.networks import Exported
    from hwnas.pareto import ParetoSet
    from hwnas.typing import SearchSpace


app = typer.Typer(
    help="Show, export and verify a Pareto set.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_OF_NNI = ("DimensionSpace(", "parameters of an NNI experiment")
"""How the texts of spaces begin that NNI alone has."""
Source = Annotated[
    str,
    typer.Argument(
        metavar="DIR|FILE|STORAGE",
        help="Results folder of `hwnas search`, its JSON, or an Optuna storage.",
    ),
]
Study = Annotated[str, typer.Option(help="Study name, where the source is a storage.")]


@app.command()
def show(
    source: Source,
    study: Study = "hwnas",
    baseline: Baseline = None,
    space: OwnSpace = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a member.")
    ] = False,
) -> None:
    """Print the members with their objectives, units and directions.

    With --baseline your present network stands beside them, evaluated by the search's objectives.

    Example: hwnas pareto show hwnas-results
    """
    from hwnas.pareto.baseline import findings

    pareto_set = open_pareto_set(source, study, space)
    if baseline is not None:
        from hwnas.functions.baseline import with_baseline

        made = front_space(pareto_set, space)
        pareto_set = with_baseline(pareto_set, baseline, space=made, data_folder=data)
    print_front(pareto_set, as_json)
    for line in findings(pareto_set):
        note(line)
    note(_counts(pareto_set))


@app.command()
def export(
    source: Source,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: the results folder]")
    ] = None,
    study: Study = "hwnas",
    json_file: Annotated[bool, typer.Option("--json-file", help="Write front.json.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write front.csv.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write onnx/, untrained.")] = False,
    code: Annotated[
        bool,
        typer.Option(
            "--code",
            help="Write code/: PyTorch code, weights and choices a member, and train.py.",
        ),
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Write report.html.")] = False,
    artifacts: Annotated[
        bool,
        typer.Option(
            "--artifacts",
            help="Write onnx/, and attach each member's ONNX file and drawing to its trial, where "
            "optuna-dashboard shows them.",
        ),
    ] = False,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Classes of the networks; the search's if absent."),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option("--input", help="Image as C,H,W of the networks; the search's if absent."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the networks' weights; the search's if absent."),
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="N|dynamic", help="Images that the ONNX files take.")
    ] = "1",
    opset: Annotated[int, typer.Option(help="Version of the ONNX files' operators.")] = 18,
    space: OwnSpace = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a written file.")
    ] = False,
) -> None:
    """Write the chosen files, or all of them if none is chosen.

    Example: hwnas pareto export hwnas-results --onnx --out models
    """
    from hwnas.cli.artifacts import attach
    from hwnas.cli.networks import NetworkExport

    front = open_pareto_set(source, study, space)
    out = results_folder(source, out)
    everything = not (json_file or csv or onnx or code or report or artifacts)
    written: list[Exported] = []
    # What can be refused comes first: each folder appears as a whole, and what follows does not.
    if onnx or code or artifacts or everything:
        wanted = NetworkExport.read(front, space, classes, in_shape, seed, batch, opset)
        written += wanted.code(out / "code") if code or everything else []
        models = wanted.onnx(out / "onnx") if onnx or artifacts or everything else []
        written += models
        if artifacts:
            files = {model[ARCHITECTURE]: Path(model["file"]) for model in models}
            attach(front, wanted.space, files, source, study, out)
    progress.stage("report and tables")
    chosen = {FRONT: json_file, TABLE: csv, REPORT: report}
    written += _files(front, out, [n for n, flag in chosen.items() if flag or everything], space)
    if as_json:
        print_json_lines(written)
    else:
        _print_files(written)


def results_folder(source: str, out: Path | None) -> Path:
    """Give the folder to write: that of the results, unless another is named."""
    if out is not None:
        return out
    if not Path(source).is_dir():
        raise InvalidValueError(
            f"`--out` must name a folder where the source is none, but got {source!r} alone."
        )
    return Path(source)


def open_pareto_set(source: str, study: str = "hwnas", space: str | None = None) -> ParetoSet:
    """Open a results folder, a JSON file or a study.

    Args:
        source: folder, file, or Optuna storage: URL, ``journal:FILE`` or ``grpc://HOST:PORT``.
        study: study name in the storage.
        space: space of a study of the user's own, whose parameters say the architectures.

    Raises:
        InvalidValueError: the storage cannot be opened or has no such study.
        DataNotFoundError: there is no such file, or the folder holds no front.
        DataFormatError: the file is empty, truncated or something else.
    """
    from hwnas.pareto import ParetoSet

    if "://" in source or source.startswith("journal:"):
        from hwnas.study.hosts import get_host

        own = None if space is None else partial(users_space, space)
        return get_host("optuna").load(source, study, own)
    path = Path(source)
    return ParetoSet.load(path / FRONT if path.is_dir() else path)


def _counts(pareto_set: ParetoSet) -> str:
    """Say what became of the architectures that are not on the front."""
    names = ("evaluated", "infeasible", "pruned", "failed", "repeated")
    known = [f"{pareto_set.provenance[n]} {n}" for n in names if n in pareto_set.provenance]
    text = ", ".join([f"{len(pareto_set)} on the front", *known])
    return f"{text}; ★ is nearest to the ideal point." if len(pareto_set) else f"{text}."


def _files(front: ParetoSet, out: Path, names: list[str], space: str | None) -> list[Exported]:
    """Write the files of these names that tell what the front is."""
    from hwnas.pareto.json_csv import write_csv, write_json
    from hwnas.reports.report import write_report

    if FRONT in names:
        write_json(front, out / FRONT)
    if TABLE in names:
        write_csv(front, out / TABLE)
    if REPORT in names:
        write_report(front, out / REPORT, _space_or_none(front, space))
    return [{"file": str(out / name)} for name in names]


def front_space(pareto_set: ParetoSet, named: str | None) -> SearchSpace[Any]:
    """Make the space of a front.

    Args:
        pareto_set: the front.
        named: what the user names, a class that may be imported; None for registered spaces.

    Raises:
        HwnasError: there is no such space; says how it is named.
    """
    from hwnas.study.configuration import bounded

    space = _space_of(pareto_set, named)
    bounded(space)
    return space


def _space_of(pareto_set: ParetoSet, named: str | None) -> SearchSpace[Any]:
    from hwnas.spaces.space_text import permit, read_space

    if pareto_set.space.startswith(_OF_NNI):
        raise InvalidValueError(
            f"`space` of a front must be one whose networks hwnas builds, but is a model space of "
            f"NNI, {pareto_set.space}: NNI builds them, by `model_space.freeze(sample)` of a "
            f"member's choices or `experiment.export_top_models()`."
        )
    if named is not None and names_function(named, None):
        permit(named)
    elif named is not None:
        given = users_space(named)
        if repr(given) == pareto_set.space:
            return given
    try:
        return read_space(pareto_set.space)
    except HwnasError:
        # A search says by which name it found a space whose own text is another.
        settings = pareto_set.provenance.get("settings")
        name = settings.get("space") if isinstance(settings, dict) else None
        if not isinstance(name, str) or repr(space := read_space(name)) != pareto_set.space:
            raise
        return space


def _space_or_none(pareto_set: ParetoSet, named: str | None) -> SearchSpace[Any] | None:
    """Read the space for the drawings; a report without them is better than none."""
    try:
        return front_space(pareto_set, named)
    except HwnasError as error:
        note(f"No drawings in the report: {error}")
        return None


def _print_files(written: list[Exported]) -> None:
    print_table(
        ["file", "sha256", "largest difference from PyTorch", "needs hwnas for"],
        [
            [w["file"], w.get("sha256", "")[:12], w.get("max_abs_diff"), w.get("needs_hwnas", "")]
            for w in written
        ],
    )
