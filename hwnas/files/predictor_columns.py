"""Predictor files within a predictor file: several costs of one device, or one beside another.

A file of several costs has the kind `JOINT` and its columns one by one: ``FILE:energy_mj`` is one
of them. The header of a column stands in the settings, and its arrays have its name before theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.named_column import file_and_column
from hwnas.files.npz import Arrays
from hwnas.files.predictor_file import Facts, PredictorFile, insist_on_whole, read_predictor_file
from hwnas.typing import DeviceKey

JOINT = "joint"
"""Kind of a file of several costs."""
_COLUMNS = "columns"


def nested(file: PredictorFile, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the header of a file as a JSON value, and its arrays with a name before theirs."""
    header = {"kind": file.kind, "facts": asdict(file.facts), "settings": dict(file.settings)}
    return header, {f"{name}/{own}": array for own, array in file.arrays.items()}


def unnested(
    file: PredictorFile, header: Mapping[str, Any], name: str
) -> tuple[PredictorFile, Arrays]:
    """Give the file that `nested` gave, and the other arrays.

    Raises:
        LookupError, TypeError: the header lacks something.
    """
    start = f"{name}/"
    own = {n.removeprefix(start): a for n, a in file.arrays.items() if n.startswith(start)}
    facts = dict(header["facts"])
    device = DeviceKey(**facts.pop("device"))
    inner = PredictorFile(
        str(header["kind"]), Facts(**facts, device=device), dict(header["settings"]), own,
        file.version,
    )  # fmt: skip
    return inner, {n: a for n, a in file.arrays.items() if not n.startswith(start)}


def join(columns: Mapping[str, PredictorFile]) -> PredictorFile:
    """Put several costs of one device into a file, by the name of their column."""
    headers: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for name, file in columns.items():
        headers[name], own = nested(file, name)
        arrays |= own
    first = next(iter(columns.values()))
    return PredictorFile(JOINT, first.facts, {_COLUMNS: headers}, arrays)


def split(file: PredictorFile) -> dict[str, PredictorFile]:
    """Give the columns of a file by name; a file of one cost has one, whose name is empty.

    Raises:
        DataFormatError: a column lacks something.
    """
    if file.kind != JOINT:
        return {"": file}
    found = {}
    with insist_on_whole(file):
        for name, header in file.settings[_COLUMNS].items():
            found[name] = unnested(file, header, name)[0]
            if found[name].kind == JOINT or found[name].facts.space != file.facts.space:
                raise ValueError(f"its column {name!r} is of another kind or space")
        if not found:
            raise ValueError("it has no column")
    return found


def read_columns(path: Path) -> dict[str, PredictorFile]:
    """Read ``FILE`` or ``FILE:COLUMN``; the latter gives one column.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: the file is damaged or something else.
        UnknownNameError: there is no such column.
    """
    file, column = file_and_column(path)
    columns = split(read_predictor_file(file))
    if column is None:
        return columns
    if "" in columns:
        raise InvalidValueError(
            f"`{file}` must hold several costs where a column is named, but got {column!r} and a "
            f"file of one: leave the column out."
        )
    if column not in columns:
        raise unknown_name("column", column, columns)
    return {column: columns[column]}


def read_column(path: Path) -> PredictorFile:
    """Read ``FILE:COLUMN``, or ``FILE`` where there is one column.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: the file is damaged or something else.
        InvalidValueError: no column is named and there are several.
    """
    columns = read_columns(path)
    if len(columns) > 1:
        raise InvalidValueError(
            f"`{path}` must be FILE:COLUMN, since the file holds {', '.join(columns)}, but got no "
            f"column: e.g. {path}:{next(iter(columns))}."
        )
    return next(iter(columns.values()))
