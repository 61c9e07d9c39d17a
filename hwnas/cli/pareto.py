"""`hwnas pareto`: look at the result of a search, and turn it into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import OwnSpace
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.errors import HwnasError, InvalidValueError
from hwnas.reports.folder import FRONT, REPORT, TABLE

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.typing import SearchSpace


app = typer.Typer(
    help="Show, export and verify a Pareto set.",
    no_args_is_help=True,
)

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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a member.")
    ] = False,
) -> None:
    """Print the members with their objectives, units and directions.

    Example: hwnas pareto show hwnas-results
    """
    from hwnas.pareto.json_csv import member_rows

    pareto_set = open_pareto_set(source, study)
    if as_json:
        print_json_lines(member_rows(pareto_set))
    else:
        knee = pareto_set.knee() if len(pareto_set) else None
        print_table(
            ["#", *map(str, pareto_set.objectives), "architecture"],
            [
                [f"{rank} ★" if member is knee else f"{rank}", *member.values, member.arch]
                for rank, member in enumerate(pareto_set.members, start=1)
            ],
            title=f"{len(pareto_set)} on the front of {pareto_set.space}",
        )
    note(_counts(pareto_set))


@app.command()
def export(
    source: Source,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. \\[default: the results folder]")
    ] = None,
    study: Study = "hwnas",
    json_file: Annotated[bool, typer.Option("--json-file", help="Write front.json.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write front.csv.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write onnx/, untrained.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write report.html.")] = False,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Classes of the ONNX networks; the search's if absent."),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(
            "--input", help="Image as C,H,W of the ONNX networks; the search's if absent."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the ONNX networks' weights; the search's if absent."),
    ] = None,
    space: OwnSpace = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a written file.")
    ] = False,
) -> None:
    """Write the chosen files, or all of them if none is chosen.

    Example: hwnas pareto export hwnas-results --onnx --out models
    """
    from hwnas.pareto.json_csv import write_csv, write_json
    from hwnas.reports.report import write_report

    pareto_set = open_pareto_set(source, study)
    out = results_folder(source, out)
    everything = not (json_file or csv or onnx or report)
    written: list[dict[str, Any]] = []
    if json_file or everything:
        write_json(pareto_set, out / FRONT)
        written.append({"file": str(out / FRONT)})
    if csv or everything:
        write_csv(pareto_set, out / TABLE)
        written.append({"file": str(out / TABLE)})
    if report or everything:
        write_report(pareto_set, out / REPORT, _space_or_none(pareto_set, space))
        written.append({"file": str(out / REPORT)})
    if onnx or everything:
        written += _export_onnx(
            pareto_set, front_space(pareto_set, space), out / "onnx", classes, in_shape, seed
        )
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


def open_pareto_set(source: str, study: str = "hwnas") -> ParetoSet:
    """Open a results folder, a JSON file or a study.

    Args:
        source: folder, file, or Optuna storage: URL, ``journal:FILE`` or ``grpc://HOST:PORT``.
        study: study name in the storage.

    Raises:
        InvalidValueError: the storage cannot be opened or has no such study.
        DataNotFoundError: there is no such file, or the folder holds no front.
        DataFormatError: the file is empty, truncated or something else.
    """
    from hwnas.pareto import ParetoSet

    if "://" in source or source.startswith("journal:"):
        from hwnas.study.search import get_host

        return get_host("optuna").load(source, study)
    path = Path(source)
    return ParetoSet.load(path / FRONT if path.is_dir() else path)


def _counts(pareto_set: ParetoSet) -> str:
    """Say what became of the architectures that are not on the front."""
    names = ("evaluated", "infeasible", "failed", "repeated")
    known = [f"{pareto_set.provenance[n]} {n}" for n in names if n in pareto_set.provenance]
    text = ", ".join([f"{len(pareto_set)} on the front", *known])
    return f"{text}; ★ is nearest to the ideal point." if len(pareto_set) else f"{text}."


def _export_onnx(
    pareto_set: ParetoSet,
    space: SearchSpace[Any],
    folder: Path,
    classes: int | None,
    image: str | None,
    seed: int | None,
) -> list[dict[str, Any]]:
    from hwnas.networks.importing import parse_in_shape
    from hwnas.reports.onnx_members import export_onnx_members
    from hwnas.study.configuration import recorded_task
    from hwnas.tasks.task import image_task

    task = recorded_task(pareto_set.provenance)
    if task is None or classes is not None or image is not None:
        known = {} if task is None else task.settings
        K = _given("--classes", known.get("num_classes") if classes is None else classes)
        shape = _given("--input", known.get("in_shape") if image is None else parse_in_shape(image))
        task = image_task(K, shape)
    chosen = pareto_set.provenance.get("seed", 0) if seed is None else seed
    note(f"Writing {len(pareto_set)} ONNX networks, untrained, and comparing them with PyTorch.")
    rows = export_onnx_members(pareto_set, space, task, folder, chosen)
    return [
        {"file": str(r.file), "sha256": r.sha256, "max_abs_diff": r.max_abs_diff, "arch": r.arch}
        for r in rows
    ]


def _given(option: str, value: Any) -> Any:
    """Insist on a value: no default could be right for every search."""
    if value is None:
        raise InvalidValueError(
            f"`{option}` must be given: the Pareto set does not say what it was made for."
        )
    return value


def front_space(pareto_set: ParetoSet, named: str | None) -> SearchSpace[Any]:
    """Make the space of a front.

    Args:
        pareto_set: the front.
        named: what the user names, a class that may be imported; None for registered spaces.

    Raises:
        HwnasError: there is no such space; says how it is named.
    """
    from hwnas.spaces.space_text import named_space, read_space

    given = None if named is None else named_space(named)
    if given is not None and repr(given) == pareto_set.space:
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


def _print_files(written: list[dict[str, Any]]) -> None:
    print_table(
        ["file", "sha256", "largest difference from PyTorch"],
        [[w["file"], w.get("sha256", "")[:12], w.get("max_abs_diff")] for w in written],
    )
