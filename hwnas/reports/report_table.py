"""The members of a Pareto set as a table of a report, and all values of one for its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.costs.counters import CounterCost, Metric
from hwnas.errors import HwnasError
from hwnas.pareto import spread
from hwnas.pareto.baseline import against
from hwnas.pareto.expected import AMONG_BEST, EXPECTED, HIGH, LOW, chance_text, expectation_text
from hwnas.pareto.json_csv import attribute_names, attribute_text
from hwnas.pareto.pareto_set import Member, ObjectiveInfo, ParetoSet
from hwnas.pareto.uncertainty import still_predicted
from hwnas.tasks.task import Task, image_task
from hwnas.typing import Arch, SearchSpace

_COUNTED: dict[Metric, tuple[str, str]] = {
    "params": ("parameters", ""),
    "macs": ("MACs", "of one input"),
    "peak_memory": ("memory", "activations at once"),
}
_MOST_ATTRIBUTES = 3
_SCREEN_PX, _ARCHITECTURE_PX, _COMPARE_PX = 1290, 312, 100
"""What a page of 1,400 px has for the table, and what two of its columns take at least."""
_LETTER_PX, _DIGIT_PX, _SORT_PX, _PADDING_PX, _LEAST_PX = 9, 8, 18, 24, 72
"""Sizes of the style sheet: of headers, numbers, the sign for sorting, and cells."""
_LONGEST_PART = 14
_ALIKE = "_not_distinguishable"
_EXPECTED = {
    EXPECTED: ("expected accuracy", "%, of one training; 95 % in brackets"),
    AMONG_BEST: ("among best 1 %", "chance"),
}
_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
_BYTES = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: its header.
        note: unit and direction in words.
        kind: ``number``, ``arch`` or nothing; the class of its cells.
    """

    name: str
    note: str = ""
    kind: str = ""

    @property
    def parts(self) -> list[str]:
        """The name in pieces between which a line may be broken."""
        most = _LONGEST_PART
        return re.findall(rf"[^_+ ]{{,{most}}}[_+ ]|[^_+ ]{{1,{most}}}", self.name)


@dataclass(frozen=True)
class Cell:
    """A value of a member.

    Attributes:
        text: what is shown.
        order: what it is sorted by; empty for a missing value.
        note: shown small below it.
        parts: the text in pieces between which a line may be broken.
    """

    text: str
    order: str = ""
    note: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What the page shows of the members.

    Attributes:
        columns: headers.
        rows: (n,) cells of each member.
        baseline: cells of the user's present network; empty without one.
        left_out: attributes that only the cards and front.csv show.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    baseline: tuple[Cell, ...]
    left_out: tuple[str, ...]


def members_table(front: ParetoSet, space: SearchSpace[Arch] | None) -> Table:
    """Make the table: objectives, counts, architecture, and a few other values.

    Args:
        front: the Pareto set, with a member at least.
        space: its search space, for the counts; None for those that the members have themselves.
    """
    counts = _counts(front, space)
    names = [n for n in _attributes(front) if n not in counts]
    columns = [Column("#", "", "number")]
    columns += [Column(o.name, meaning(front, o), "number") for o in front.objectives]
    columns += [Column(*_COUNTED[name], "number") for name in counts]
    numbers = [
        [
            Cell(str(rank), str(rank)),
            *_values(front, member),
            *(_count(name, values[rank - 1]) for name, values in counts.items()),
        ]
        for rank, member in enumerate(front.members, start=1)
    ]
    room = _SCREEN_PX - _ARCHITECTURE_PX - _COMPARE_PX
    room -= sum(map(_width, columns, zip(*numbers, strict=True)))
    shown = _that_fit(front, names, room)
    columns += [Column("architecture", "", "arch")]
    columns += [Column(*_header(name), _kind(front, name)) for name in shown]
    rows = tuple(
        (
            *row,
            Cell(member.arch, member.arch, parts=pieces(member.arch)),
            *(_attribute(member, name) for name in shown),
        )
        for row, member in zip(numbers, front.members, strict=True)
    )
    left_out = tuple(name for name in names if name not in shown)
    return Table(tuple(columns), rows, _baseline(front, len(counts), len(shown)), left_out)


def _width(column: Column, cells: Sequence[Cell]) -> int:
    """Give the pixels that a column takes at least."""
    header = _LETTER_PX * max(map(len, column.parts), default=0) + _SORT_PX
    widest = max((len(line) for c in cells for line in (c.text, *c.note.split())), default=0)
    return max(header, _DIGIT_PX * widest, _LEAST_PX) + _PADDING_PX


def _that_fit(front: ParetoSet, names: Sequence[str], room: int) -> list[str]:
    """Choose the first attributes whose columns a screen has room for."""
    shown: list[str] = []
    for name in names:
        # A text may be broken anywhere.
        cells = [_attribute(m, name) for m in front.members] if _kind(front, name) else []
        room -= _width(Column(*_header(name)), cells)
        if room < 0 or len(shown) == _MOST_ATTRIBUTES:
            break
        shown.append(name)
    return shown


def card_values(front: ParetoSet, member: Member) -> list[tuple[str, str]]:
    """Give all that is known of a member, as names and texts."""
    shown: list[tuple[str, str]] = []
    cells = _values(front, member, compared=False)
    for objective, cell in zip(front.objectives, cells, strict=True):
        shown.append((objective.name, " ".join(filter(None, (cell.text, objective.unit)))))
        if cell.note:
            known, _, slow = cell.note.rpartition("p95 ")
            shown += (
                [("its 95 % interval", cell.note)] if known or not slow else [("its p95", slow)]
            )
    for name in _attributes(front):
        if member.attributes.get(name) is not None:
            shown.append((_EXPECTED.get(name, (name,))[0], _attribute(member, name).text))
    return shown


def _header(name: str) -> tuple[str, str]:
    """Give the header of an attribute, and a note."""
    if name.endswith(_ALIKE):
        return "like #", f"{name.removesuffix(_ALIKE)} not told apart"
    return _EXPECTED.get(name, (name, ""))


def meaning(front: ParetoSet, objective: ObjectiveInfo) -> str:
    """Write unit and direction out, for those who do not know the arrows."""
    better = "lower is better" if objective.direction == "minimize" else "higher is better"
    predicted = "predicted" if objective.name in still_predicted(front) else ""
    return ", ".join(filter(None, (objective.unit, predicted, better)))


def pieces(arch: str) -> tuple[str, ...]:
    """Split an architecture where a line may be broken: behind `|`, `+`, `,` and `;`.

    Example:
        >>> pieces("|a~0|+|b~0|c~1|")
        ('|a~0|+', '|b~0|', 'c~1|')
    """
    return tuple(re.findall(r"(?:\|?[^|+,;]*(?:\|\+?|[+,;]\s*|$))", arch)[:-1]) or (arch,)


def format_number(value: float) -> str:
    """Show five significant digits, and whole numbers in full with thousands separators."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.5g}"


def short_count(value: float, units: Sequence[tuple[float, str]] = _PREFIXES) -> str:
    """Show a count by three digits and a prefix.

    Example:
        >>> short_count(1_074_666), short_count(512), short_count(1_572_864, _BYTES)
        ('1.07 M', '512', '1.5 MiB')
    """
    for size, unit in units:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}" if units is _PREFIXES else f"{value:g} B"


def _values(front: ParetoSet, member: Member, *, compared: bool = True) -> list[Cell]:
    """Give the objectives' cells: how sure they are, and how they compare with the baseline."""
    known = front.baseline if compared else None
    before = [None] * len(member.values) if known is None else known.values
    cells = []
    for objective, value, base in zip(front.objectives, member.values, before, strict=True):
        text, sure = format_number(value), _sureness(member, objective.name, value)
        if sure.startswith("±"):
            text, sure = f"{text} {sure}", ""
        note = "" if base is None else against(objective, value, base)
        cells.append(Cell(text, str(value), "; ".join(filter(None, (sure, note)))))
    return cells


def _sureness(member: Member, name: str, value: float) -> str:
    """Write the deviation of a prediction, or the interval and 95th percentile of a measurement."""
    found = spread.interval(member, name, value)
    p95 = member.attributes.get(f"{name}{spread.P95}")
    if found is not None and f"{name}{spread.LOW}" not in member.attributes:
        return f"± {found[1] - value:.2g}"
    said = "" if found is None else f"{format_number(found[0])} to {format_number(found[1])}"
    slow = f"p95 {format_number(p95)}" if isinstance(p95, (int, float)) else ""
    return ", ".join(filter(None, (said, slow)))


def _attributes(front: ParetoSet) -> list[str]:
    """Name the attributes that say something of their own."""
    told = {LOW, HIGH, *(f"{o.name}_std" for o in front.objectives)}
    told |= {name for o in front.objectives for name in spread.spread_names(o.name)}
    names = {o.name for o in front.objectives}
    same = {n for n in names if _repeats(front, n)}
    found = [n for n in attribute_names(front) if n not in told and n not in same]
    # What the accuracy is expected to be is looked for first, the number of the trial last.
    return sorted(found, key=lambda name: (name not in _EXPECTED, name == "trial"))


def _repeats(front: ParetoSet, name: str) -> bool:
    """Tell whether an attribute is an objective that the table has already."""
    places = [i for i, o in enumerate(front.objectives) if o.name == name]
    return bool(places) and all(
        m.attributes.get(name) == m.values[i] for i in places for m in front.members
    )


def _counts(front: ParetoSet, space: SearchSpace[Arch] | None) -> dict[Metric, list[Any]]:
    """Count the members' networks, but what is an objective already; what cannot be is left out."""
    objectives = {o.name.removesuffix("_bytes") for o in front.objectives}
    found: dict[Metric, list[Any]] = {}
    for name in _COUNTED:
        if name in objectives:
            continue
        values = [m.attributes.get(name) for m in front.members]
        if None in values and space is not None:
            values = _count_all(front, space, name) or values
        if any(isinstance(v, (int, float)) for v in values):
            found[name] = values
    return found


def _count_all(front: ParetoSet, space: SearchSpace[Arch], metric: Metric) -> list[Any] | None:
    if (task := _task(front)) is None:
        return None
    try:
        archs = [space.parse(member.arch) for member in front.members]
        counted = CounterCost(space, metric, task).predict(archs)
    # A network of the user's that does not run here: a report without counts is better than none.
    except Exception:
        return None
    return [float(value) if value == value else None for value in counted]


def _task(front: ParetoSet) -> Task | None:
    known = front.provenance
    try:
        if {"num_classes", "in_shape"} <= known.keys():
            return image_task(known["num_classes"], known["in_shape"])
        return Task.from_dict(known["dataset"]) if isinstance(known.get("dataset"), dict) else None
    except HwnasError:
        return None


def _count(name: Metric, value: Any) -> Cell:
    if not isinstance(value, (int, float)):
        return _plain(value)
    text = short_count(value, _BYTES) if name == "peak_memory" else short_count(value)
    return Cell(text, str(value))


def _attribute(member: Member, name: str) -> Cell:
    value = member.attributes.get(name)
    if name == EXPECTED and value is not None:
        return Cell(expectation_text(member), str(value))
    if name == AMONG_BEST and value is not None:
        return Cell(chance_text(member), str(value))
    return _plain(value)


def _plain(value: Any) -> Cell:
    text = attribute_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Cell(format_number(value), text)
    if isinstance(value, (list, tuple)):
        return Cell(", ".join(map(attribute_text, value)) or "–", text)
    return Cell(text or "–", text)


def _kind(front: ParetoSet, name: str) -> str:
    numbers = [v for m in front.members if (v := m.attributes.get(name)) is not None]
    plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers)
    return "number" if numbers and plain else ""


def _baseline(front: ParetoSet, counts: int, attributes: int) -> tuple[Cell, ...]:
    if front.baseline is None:
        return ()
    empty = Cell("")
    return (
        Cell("–"),
        *(_plain(value) for value in front.baseline.values),
        *[empty] * counts,
        Cell(front.baseline.name, parts=(front.baseline.name,)),
        *[empty] * attributes,
    )
