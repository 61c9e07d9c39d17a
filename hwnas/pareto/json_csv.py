"""Pareto sets as JSON (exact round trip), CSV (one row a member) and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.files.atomic import write_text
from hwnas.files.csv_table import ARCHITECTURE, architecture_of, as_cell, as_row
from hwnas.pareto.baseline import Baseline
from hwnas.pareto.pareto_set import Evaluated, Member, ObjectiveInfo, ParetoSet, Status
from hwnas.pareto.provenance import plain
from hwnas.pareto.same_device import recorded_cost

FORMAT = "hwnas.pareto_set"
SCHEMA = 2
"""Raised when an older reader could misread a newer file; `read_json` knows all up to this."""


def write_json(pareto_set: ParetoSet, path: str | os.PathLike[str]) -> None:
    """Write a set as JSON that `read_json` turns back into an equal one.

    Numbers keep every digit; missing values (NaN, infinities) are null. The file is replaced as
    a whole, so a crash leaves the old one.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    document = {"format": FORMAT, "schema": SCHEMA, **plain(asdict(pareto_set))}
    for rows in ("members", "evaluated"):
        document[rows] = [as_row(row) for row in document[rows]]
    if pareto_set.baseline is None:
        del document["baseline"]
    write_text(path, json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> ParetoSet:
    """Read a set written by `write_json`.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: the file is empty, truncated, damaged, something else or too new.
    """
    document = _parse(Path(path))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataFormatError(
            f"`path` must be a Pareto set, but {str(path)!r} does not say "
            f'"format": "{FORMAT}": give the front.json of a results folder.'
        )
    if document.get("schema") not in range(1, SCHEMA + 1):
        raise DataFormatError(
            f"`schema` of {str(path)!r} must be at most {SCHEMA}, but got "
            f"{document.get('schema')!r}: read it with a newer hwnas."
        )
    try:
        return _decode(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataFormatError(
            f"`path` must be a complete Pareto set, but {str(path)!r} is damaged ({detail}): "
            f"export it again."
        ) from error


def write_csv(pareto_set: ParetoSet, path: str | os.PathLike[str]) -> None:
    """Write one row a member: `architecture`, `key`, objectives, attributes, devices.

    Of each cost ``NAME.device`` is what it belongs to: device, runtime, precision, batch, threads.
    Numbers keep every digit, a missing attribute is empty, a nested one is JSON text. An
    attribute whose name is taken is called ``attributes.NAME``. Texts that spreadsheet programs
    would take for formulas have an apostrophe before them, see `hwnas.files.csv_table`.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    fixed = [ARCHITECTURE, "key", *(objective.name for objective in pareto_set.objectives)]
    columns = member_columns(pareto_set)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    devices = device_columns(pareto_set)
    writer.writerow([*fixed, *map(as_cell, columns), *devices])
    for member in pareto_set.members:
        details = (_cell(member.attributes.get(name)) for name in columns.values())
        names = as_cell(member.arch), as_cell(member.key)
        writer.writerow([*names, *member.values, *details, *map(as_cell, devices.values())])
    write_text(path, buffer.getvalue())


def member_rows(pareto_set: ParetoSet) -> Iterator[dict[str, Any]]:
    """Give each member as one flat JSON object, for JSON lines.

    Yields:
        `architecture`, `key`, each objective by name, then `units` and `directions` by objective
        name, `baseline`, its name and values, if there is one, and `attributes` if there are any.
    """
    units = {objective.name: objective.unit for objective in pareto_set.objectives}
    directions = {objective.name: objective.direction for objective in pareto_set.objectives}
    baseline = _baseline_row(pareto_set)
    for member in pareto_set.members:
        row: dict[str, Any] = {
            ARCHITECTURE: member.arch,
            "key": member.key,
            **dict(zip(units, member.values, strict=True)),
            "units": units,
            "directions": directions,
            **baseline,
        }
        yield row | ({"attributes": dict(member.attributes)} if member.attributes else {})


def _baseline_row(pareto_set: ParetoSet) -> dict[str, Any]:
    if (baseline := pareto_set.baseline) is None:
        return {}
    names = (objective.name for objective in pareto_set.objectives)
    return {"baseline": {"name": baseline.name, **dict(zip(names, baseline.values, strict=True))}}


def attribute_names(pareto_set: ParetoSet) -> list[str]:
    """List the attributes that some member has, in the order in which they first occur."""
    return list(dict.fromkeys(name for m in pareto_set.members for name in m.attributes))


def member_columns(pareto_set: ParetoSet) -> dict[str, str]:
    """Give the attribute of each column of a table of members, by the column's name.

    One whose name an objective or ``architecture`` or ``key`` has is called ``attributes.NAME``.
    """
    taken = {ARCHITECTURE, "key", *(objective.name for objective in pareto_set.objectives)}
    names = attribute_names(pareto_set)
    return {f"attributes.{name}" if name in taken else name: name for name in names}


def device_columns(pareto_set: ParetoSet) -> dict[str, str]:
    """Give the device key of each cost by the name of its column, e.g. ``cpu_latency_ms.device``.

    Costs whose device the set does not record, and columns that an attribute has, are left out.
    """
    keys = {
        f"{objective.name}.device": recorded_cost(pareto_set.provenance, objective.name)
        for objective in pareto_set.objectives
    }
    taken = set(member_columns(pareto_set))
    return {n: str(c["device"]) for n, c in keys.items() if "device" in c and n not in taken}


def attribute_text(value: Any) -> str:
    """Write an attribute into one cell: empty for None, JSON for anything nested."""
    if value is None:
        return ""
    if isinstance(value, (Mapping, list, tuple, bool)):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def _cell(value: Any) -> str:
    return as_cell(value) if isinstance(value, str) else attribute_text(value)


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"`path` must be an existing file, but there is no {str(path)!r}: write it with "
            f"`hwnas search --out DIR` or `ParetoSet.save`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataFormatError(
            f"`path` must be a readable JSON file, but {str(path)!r} is not: {reason}."
        ) from error
    if not text.strip():
        raise DataFormatError(
            f"`path` must be a Pareto set, but {str(path)!r} is empty: export it again."
        )
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataFormatError(
            f"`path` must be valid JSON, but {str(path)!r} is truncated or something else "
            f"({error}): export it again."
        ) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _decode(document: Mapping[str, Any]) -> ParetoSet:
    return ParetoSet(
        space=_text(document["space"]),
        objectives=tuple(
            ObjectiveInfo(_text(o["name"]), _text(o["unit"]), o["direction"])
            for o in document["objectives"]
        ),
        members=tuple(
            Member(
                _text(architecture_of(m)),
                _text(m["key"]),
                tuple(_number(value) for value in m["values"]),
                dict(m["attributes"]),
            )
            for m in document["members"]
        ),
        provenance=dict(document["provenance"]),
        evaluated=tuple(
            Evaluated(
                _text(architecture_of(e)),
                _text(e["key"]),
                tuple(None if value is None else _number(value) for value in e["values"]),
                _status(e["status"]),
            )
            for e in document["evaluated"]
        ),
        baseline=_baseline(document.get("baseline")),
    )


def _baseline(given: Mapping[str, Any] | None) -> Baseline | None:
    """Read the baseline, which older files have not, and older readers leave alone."""
    if given is None:
        return None
    values = tuple(None if value is None else _number(value) for value in given["values"])
    reasons, remarks = (
        {str(name): _text(said) for name, said in told.items()}
        for told in (given["reasons"], given.get("remarks", {}))
    )
    return Baseline(_text(given["name"]), values, reasons, remarks)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataFormatError(f"expected a text, got {value!r}")
    return value


def _status(value: Any) -> Status:
    if value not in get_args(Status):
        raise DataFormatError(f"expected a status, got {value!r}")
    return cast(Status, value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataFormatError(f"expected a number, got {value!r}")
    return float(value)
