"""The command ``hwnas data``: which published data is here, fetching it, checking it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.data import catalogue, download

app = typer.Typer(
    help="Find, fetch and check published benchmark data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[
    Path | None, typer.Option("--data", help="Data folder; else HWNAS_DATA, else the user's own.")
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object a line.")]


@app.command("list")
def list_data(data: Folder = None, json: Json = False) -> None:
    """List the published data sets and whether they are here.

    Example: hwnas data list
    """
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "files": len(entry.files),
            "here": sum(catalogue.find(file.path, data) is not None for file in entry.files),
            "fetched_by": "hand" if entry.instruction else "hwnas data get",
            "licence": entry.licence,
            "place": entry.place,
            "citation": entry.citation,
        }
        for entry in catalogue.catalogue().values()
    ]
    if json:
        print_json_lines(rows)
        return
    columns = ("name", "here", "files", "fetched_by", "licence", "title")
    print_table(columns, [[row[c] for c in columns] for row in rows])
    note(f"data folder: {catalogue.data_folder(data)}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Data set, as `hwnas data list` names it.")],
    data: Folder = None,
    mirror: Annotated[
        str | None, typer.Option(help="Address of a mirror laid out as the data folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Fetch a data set from its official place and check it; call again to continue.

    Example: hwnas data get hw-nas-bench --data ~/benchmarks
    """
    paths = download.get(name, data, mirror, report=note)
    if json:
        print_json_lines({"name": name, "file": str(path)} for path in paths)
    note(f"{name}: {len(paths)} files are in {catalogue.data_folder(data)}")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Data set; all by default.")] = None,
    data: Folder = None,
    json: Json = False,
) -> None:
    """Compare files with their published checksums; exit code 1 if one is wrong.

    With a name, a missing file is an error too; without, data sets that are not here are fine.

    Example: hwnas data verify hw-nas-bench
    """
    names = [name] if name else list(catalogue.catalogue())
    states = {n: catalogue.verify(n, data) for n in names}
    if json:
        print_json_lines(
            {"name": n, "file": row.file, "state": row.state}
            for n, rows in states.items()
            for row in rows
        )
    else:
        _print_states(states)
    bad = {"wrong checksum", "missing"} if name else {"wrong checksum"}
    if any(row.state in bad for rows in states.values() for row in rows):
        raise typer.Exit(1)


def _print_states(states: dict[str, list[catalogue.FileState]]) -> None:
    kinds: tuple[catalogue.State, ...] = ("ok", "missing", "wrong checksum", "no known checksum")
    counts = [[n, *(_count(rows, kind) for kind in kinds)] for n, rows in states.items()]
    print_table(("name", *kinds), counts)
    for rows in states.values():
        for row in rows:
            if row.state == "wrong checksum" or (row.state == "missing" and len(states) == 1):
                note(f"{row.state}: {row.file}")


def _count(rows: Iterable[catalogue.FileState], kind: catalogue.State) -> int:
    return sum(row.state == kind for row in rows)
