"""`hwnas pareto verify --accuracy`: take the accuracies of trained members back into a front."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.measurements import read_measurements
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.pareto.trained import Trained
    from hwnas.tasks.task import Task
    from hwnas.typing import FloatArray, SearchSpace


def take_accuracies(
    front: ParetoSet, space: SearchSpace[Any], path: Path, task: Task | None
) -> Trained:
    """Read accuracies, and say which rows belong to no member.

    Args:
        front: the front.
        space: its search space.
        path: CSV file with the columns arch and accuracy, in percent; one row a run.
        task: what the networks are counted for; None counts nothing.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it is something else; names the line.
        InvalidValueError: no member has an accuracy, or they are not in percent.
    """
    from hwnas.data.catalogue import sha256
    from hwnas.pareto.trained import with_accuracies

    found = _read(path, space)
    members = {member.key for member in front.members}
    if others := sum(len(values) for key, values in found.items() if key not in members):
        note(f"{others} rows of {path} are of networks that are no members of this front.")
    beside = {} if task is None else _counts(front, space, task)
    origin = {"accuracies": path.name, "sha256": sha256(path)}
    return with_accuracies(front, found, beside, origin)


def _read(path: Path, space: SearchSpace[Any]) -> dict[str, list[float]]:
    """Give the accuracies by canonical key; an empty cell is a run that is not finished."""
    if not path.is_file():
        raise DataNotFoundError(f"`accuracy` must be a file, but {path} is none.")
    table = read_measurements(path, space)
    if "accuracy" not in table.cells:
        raise InvalidValueError(
            f"`accuracy` must name a file with the columns arch and accuracy, but {str(path)!r} "
            f"has arch, {', '.join(table.cells)}."
        )
    if len(set(settings := table.cells.get("settings", ()))) > 1:
        raise InvalidValueError(
            f"`accuracy` must name runs of one kind, but {str(path)!r} has {len(set(settings))} "
            f"different `settings`: keep the rows of one."
        )
    found: dict[str, list[float]] = {}
    for arch, line, text in zip(table.archs, table.lines, table.cells["accuracy"], strict=True):
        if not text.strip():
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise DataFormatError(
                f"Line {line} of `{path}`: an accuracy must be in percent, 0 to 100, but is {text}."
            )
        found.setdefault(space.canonical_key(arch), []).append(value)
    return found


def _counts(front: ParetoSet, space: SearchSpace[Any], task: Task) -> dict[str, FloatArray]:
    """Count parameters and MACs of the members, apart from those that are objectives."""
    from hwnas.costs.counters import CounterCost, Metric

    wanted: tuple[Metric, ...] = ("params", "macs")
    archs = [space.parse(member.arch) for member in front.members]
    names = {objective.name for objective in front.objectives}
    return {m: CounterCost(space, m, task).predict(archs) for m in wanted if m not in names}


def show_trained(found: Trained, as_json: bool) -> None:
    """Print the accuracies beside the objectives, and how well each column ranks them."""
    objectives = [objective.name for objective in found.front.objectives]
    rows = [
        {"member": rank, "arch": m.arch, **dict(zip(objectives, m.values, strict=True))}
        | {name: m.attributes.get(name) for name in _ATTRIBUTES}
        for rank, m in enumerate(found.front.members, start=1)
    ]
    agreements = [
        {"score": a.name, "kendall": a.kendall, "low": a.low, "high": a.high, "members": a.members}
        for a in found.agreements
    ]
    if as_json:
        print_json_lines([*rows, *agreements])
    else:
        _print_tables(found, objectives, rows)
    trained = [row for row in rows if row["accuracy"] is not None]
    stay = ", ".join(str(row["member"]) for row in trained if row["on_accuracy_front"])
    note(
        f"{len(trained)} of {len(rows)} members have accuracies. On the front of accuracy and "
        f"costs stay {stay}."
    )


def _print_tables(found: Trained, objectives: list[str], rows: list[dict[str, Any]]) -> None:
    print_table(
        ["#", *objectives, "accuracy %", "std", "runs", "stays", "arch"],
        [[row["member"], *(row[o] for o in objectives), *_shown(row)] for row in rows],
        title="Trained members",
    )
    print_table(
        ["column", "Kendall's tau with accuracy", "95 % interval", "members"],
        [
            [a.name, _signed(a.kendall), f"{_signed(a.low)} to {_signed(a.high)}", a.members]
            for a in found.agreements
        ],
        title="Do larger values promise more accuracy?",
    )


def _signed(value: float) -> str:
    """Show a correlation; one member alone has none."""
    return f"{value:+.2f}" if math.isfinite(value) else "–"


_ATTRIBUTES = ("accuracy", "accuracy_std", "accuracy_runs", "on_accuracy_front")


def _shown(row: dict[str, Any]) -> list[Any]:
    accuracy, std, runs, stays = (row[name] for name in _ATTRIBUTES)
    words = {True: "yes", False: "no", None: "–"}
    numbers = ["–" if v is None else f"{v:.2f}" for v in (accuracy, std)]
    return [*numbers, "–" if runs is None else runs, words[stays], row["arch"]]
