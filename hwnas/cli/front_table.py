"""A Pareto set on a terminal: its members, and the user's present network beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.cli.output import print_json_lines, print_table, table_width

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet

_NARROW = 50
"""Columns that numbers and architectures need at least, to stand beside the objectives."""
_OBJECTIVE = 12


def print_front(front: ParetoSet, as_json: bool) -> None:
    """Print the members, best first, or a JSON object a member.

    Above them stands what each cost was measured on: device, runtime, precision, batch, threads.
    The member nearest to the ideal point has a star. Where there is a baseline, each objective has
    a second column that compares with it, and it stands below the members. On a narrow terminal the
    architectures have a table of their own.
    """
    if as_json:
        from hwnas.pareto.json_csv import member_rows

        print_json_lines(member_rows(front))
        return
    from hwnas.pareto.expected import chance_text, expectation_text, has_expectations

    knee = front.knee() if len(front) else None
    told = ["expected accuracy %", "among best 1 %"] if has_expectations(front) else []
    rows = [
        [f"{rank} ★" if member is knee else f"{rank}", *_values(front, member.values)]
        + ([expectation_text(member), chance_text(member)] if told else [])
        + [member.arch]
        for rank, member in enumerate(front.members, start=1)
    ]
    if (baseline := front.baseline) is not None:
        values = [cell for value in baseline.values for cell in (value, "")]
        rows.append(["–", *values, *[""] * len(told), f"baseline: {baseline.name}"])
    columns = [
        column
        for objective in front.objectives
        for column in (str(objective), *(["baseline"] if front.baseline else []))
    ]
    columns += told
    title = "; ".join([f"{len(front)} on the front of {front.space}", *_devices(front)])
    if table_width() >= _NARROW + _OBJECTIVE * len(columns):
        print_table(["#", *columns, "architecture"], rows, title=title)
        return
    print_table(["#", *columns], [row[:-1] for row in rows], title=title)
    print_table(["#", "architecture"], [[row[0], row[-1]] for row in rows])


def _devices(front: ParetoSet) -> list[str]:
    from hwnas.pareto.same_device import recorded_devices

    return [f"{name} on {key}" for name, key in recorded_devices(front).items()]


def _values(front: ParetoSet, values: tuple[float, ...]) -> list[Any]:
    if front.baseline is None:
        return list(values)
    from hwnas.pareto.baseline import against

    told = zip(front.objectives, values, front.baseline.values, strict=True)
    return [cell for o, value, before in told for cell in (value, against(o, value, before))]
