"""`hwnas pareto verify --accuracy`: take the accuracies of trained members back into a front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.progress import progress
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.files.named_column import file_and_column
from hwnas.tables.measurements import read_measurements

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.pareto.trained import Trained
    from hwnas.tasks.task import Task
    from hwnas.typing import Arch, FloatArray, SearchSpace


def take_accuracies(
    front: ParetoSet, space: SearchSpace[Arch], path: Path, task: Task | None
) -> Trained:
    """Read accuracies, and say which rows belong to no member.

    Args:
        front: the front.
        space: its search space.
        path: CSV file with the columns architecture and accuracy, in percent; one row a run; or
            ``FILE:COLUMN``, where another column stands for the accuracy, such as miou.
        task: what the networks are counted for; None counts nothing.

    With labels of five networks or more, members or not, each member gets an expected accuracy.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it is something else; names the line.
        InvalidValueError: no member has an accuracy, or they are not in percent.
    """
    from hwnas.pareto.trained import Trained, with_accuracies

    runs, in_percent = _read(path, space)
    found = _by_key(runs, space)
    members = {member.key for member in front.members}
    if others := sum(len(values) for key, values in found.items() if key not in members):
        note(f"{others} rows of {path} are of networks that are no members of this front.")
    expected = _expected(front, space, runs, path)
    beside = {} if task is None else _counts(front, space, task)
    if expected is not None and not members & found.keys():
        return Trained(expected, ())
    return with_accuracies(expected or front, found, beside, _origin(path), in_percent=in_percent)


def _origin(path: Path) -> dict[str, str]:
    from hwnas.files.pinned import sha256

    return {"accuracies": path.name, "sha256": sha256(file_and_column(path)[0])}


def _expected(
    front: ParetoSet, space: SearchSpace[Arch], runs: Mapping[str, Sequence[float]], path: Path
) -> ParetoSet | None:
    """State expected accuracies, where there are labels enough; say why where there are not."""
    from hwnas.evaluation.cache import ResultCache
    from hwnas.study.expected_accuracy import with_expected_accuracy
    from hwnas.study.learned_space import LEAST_LABELS

    labels = {arch: math.fsum(values) / len(values) for arch, values in runs.items()}
    if len({space.canonical_key(space.parse(arch)) for arch in labels}) < LEAST_LABELS:
        return None
    try:
        with ResultCache.default() as cache:
            return with_expected_accuracy(
                front, space, labels, origin=_origin(path), cache=cache, report=progress.count
            )
    except InvalidValueError as error:
        note(f"No accuracies are expected of the members: {error}")
        return None


def _by_key(
    runs: Mapping[str, Sequence[float]], space: SearchSpace[Arch]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for text, values in runs.items():
        found.setdefault(space.canonical_key(space.parse(text)), []).extend(values)
    return found


def _read(path: Path, space: SearchSpace[Arch]) -> tuple[dict[str, list[float]], bool]:
    """Give the accuracies by architecture, and whether they are known to be percentages.

    An empty cell is a run that is not finished. The script of an export writes percentages.
    """
    from hwnas.tables.accuracy_file import (
        COLUMN,
        SETTINGS,
        accuracy_column,
        insist_on_one_kind,
        of_script,
    )

    path, named = accuracy_column(path)
    column = named or COLUMN
    if not path.is_file():
        raise DataNotFoundError(f"`accuracy` must be a file, but {path} is none.")
    table = read_measurements(path, space)
    if column not in table.cells:
        raise InvalidValueError(
            f"`accuracy` must name a file with the columns architecture and {column}, but "
            f"{str(path)!r} has architecture, {', '.join(table.cells)}."
        )
    settings = list(filter(str.strip, table.cells.get(SETTINGS, ())))
    insist_on_one_kind(settings, path)
    found: dict[str, list[float]] = {}
    for arch, line, text in zip(table.archs, table.lines, table.cells[column], strict=True):
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
        found.setdefault(str(arch), []).append(value)
    return found, of_script(settings)


def _counts(front: ParetoSet, space: SearchSpace[Arch], task: Task) -> dict[str, FloatArray]:
    """Count parameters and MACs of the members, apart from those that are objectives."""
    from hwnas.costs.counters import CounterCost, Metric

    wanted: tuple[Metric, ...] = ("params", "macs")
    archs = [space.parse(member.arch) for member in front.members]
    names = {objective.name for objective in front.objectives}
    return {m: CounterCost(space, m, task).predict(archs) for m in wanted if m not in names}


def show_trained(found: Trained, as_json: bool) -> None:
    """Print the accuracies beside the objectives, and how well each column ranks them."""
    from hwnas.pareto.expected import (
        AMONG_BEST,
        EXPECTED,
        HIGH,
        LOW,
        expectations_from,
        has_expectations,
    )

    objectives = [objective.name for objective in found.front.objectives]
    expected = (EXPECTED, LOW, HIGH, AMONG_BEST) if has_expectations(found.front) else ()
    rows = [
        {"member": rank, ARCHITECTURE: m.arch, **dict(zip(objectives, m.values, strict=True))}
        | {name: m.attributes.get(name) for name in (*_ATTRIBUTES, *expected)}
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
        f"{len(trained)} of {len(rows)} members have accuracies."
        + (f" On the front of accuracy and costs stay {stay}." if stay else "")
    )
    for line in expectations_from(found.front):
        note(line)


def _print_tables(found: Trained, objectives: list[str], rows: list[dict[str, Any]]) -> None:
    from hwnas.pareto.expected import chance_text, expectation_text, has_expectations

    front = found.front
    told = [[expectation_text(m), chance_text(m)] for m in front.members]
    more = ["expected %", "among best 1 %"] if has_expectations(front) else []
    several = any((row["accuracy_runs"] or 0) > 1 for row in rows)
    spread = ["std", "runs"] if several else []
    print_table(
        ["#", "accuracy %", *spread, "stays", *more, *objectives, ARCHITECTURE],
        [
            [
                *(row["member"], *_shown(row, several), *(texts if more else ())),
                *(row[o] for o in objectives),
                row[ARCHITECTURE],
            ]
            for row, texts in zip(rows, told, strict=True)
        ],
        title="Members" if more else "Trained members",
    )
    if not found.agreements:
        return
    print_table(
        ["column", "Kendall's tau with accuracy", "95 % interval", "members"],
        [
            [a.name, _signed(a.kendall), _interval(a.low, a.high), a.members]
            for a in found.agreements
        ],
        title="Do larger values promise more accuracy?",
    )


def _signed(value: float) -> str:
    """Show a correlation; one member alone has none."""
    return f"{value:+.2f}" if math.isfinite(value) else "–"


def _interval(low: float, high: float) -> str:
    known = math.isfinite(low) and math.isfinite(high)
    return f"{_signed(low)} to {_signed(high)}" if known else "–"


_ATTRIBUTES = ("accuracy", "accuracy_std", "accuracy_runs", "on_accuracy_front")


def _shown(row: dict[str, Any], several: bool) -> list[Any]:
    """Show accuracy and whether it stays; where some were trained several times, how often."""
    accuracy, std, runs, stays = (row[name] for name in _ATTRIBUTES)
    words = {True: "yes", False: "no", None: "–"}
    mean, spread = ("–" if v is None else f"{v:.2f}" for v in (accuracy, std))
    return [mean, *([spread, "–" if runs is None else runs] if several else []), words[stays]]
