"""`hwnas predict`: from a few measurements to the cost of every architecture on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.cli.options import ArchsFile, OwnSpace
from hwnas.cli.output import print_json_lines, print_table
from hwnas.cli.predict_adapt import adapt
from hwnas.cli.predict_checks import compared
from hwnas.cli.predict_files import open_predictors
from hwnas.cli.predict_options import Csv
from hwnas.cli.predict_support import support
from hwnas.cli.predict_train import train
from hwnas.cli.progress import progress
from hwnas.files.csv_table import ARCHITECTURE

app = typer.Typer(
    help="Predict the latency or energy of every architecture from a few measurements.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(support)
app.command()(adapt)
app.command()(train)

Predictor = Annotated[Path, typer.Argument(metavar="FILE", help="Predictor file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.command()
def evaluate(
    file: Predictor,
    measurements: Csv,
    space: OwnSpace = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with measurements that were not used.

    Example: hwnas predict evaluate mine.npz --measurements more.csv
    """
    from hwnas.tables.measurements import read_measurements

    predictors = open_predictors(file, space)
    table = read_measurements(measurements, next(iter(predictors.values())).space)
    _show([compared(p, name, file, table) for name, p in predictors.items()], as_json)


@app.command()
def export(
    file: Predictor,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", "--architecture", help="Architecture. [default: the whole space]"),
    ] = None,
    archs: ArchsFile = None,
    own_space: OwnSpace = None,
    as_json: AsJson = False,
) -> None:
    """Print the predicted cost of architectures, with its standard deviation if it is known.

    Example: hwnas predict export mine.npz --json > predictions.jsonl
    """
    from hwnas.cli.architectures import parse_architectures
    from hwnas.errors import InvalidValueError
    from hwnas.spaces.facets import Listing, facet
    from hwnas.tables.measurements import column_name

    predictors = open_predictors(file, own_space)
    space = next(iter(predictors.values())).space
    if arch or archs:
        wanted = parse_architectures(space, arch or [], archs)
    elif (members := facet(space, Listing)) is not None:
        wanted = list(members)
    else:
        raise InvalidValueError(
            f"`--arch` or `--archs FILE` must be given, since {space.name} is too large to be "
            f"listed."
        )
    if not wanted:
        raise InvalidValueError(f"`--archs` must name an architecture, but {archs} has none.")
    progress.stage(f"predicting {len(wanted):,} architectures")
    columns = {}
    for predictor in predictors.values():
        name = column_name(predictor.metric, predictor.unit)
        columns[name] = predictor.predict(wanted)
        if hasattr(predictor, "predict_std"):
            columns[f"{name}_std"] = predictor.predict_std(wanted)
    rows = [
        {ARCHITECTURE: str(arch), **{n: float(values[i]) for n, values in columns.items()}}
        for i, arch in enumerate(wanted)
    ]
    _show(rows, as_json)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json_lines(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
