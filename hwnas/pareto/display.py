"""A Pareto set as one line, as a table of a notebook, and as a table of pandas."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from hwnas.files.csv_table import ARCHITECTURE
from hwnas.pareto.json_csv import device_columns, member_columns
from hwnas.pareto.pareto_set import ParetoSet

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
"""Members in a notebook's table."""


def one_line(front: ParetoSet) -> str:
    """Say how many members there are, of which space, and between which values they lie."""
    extents = [
        f"{o} {low:.4g} to {high:.4g}"
        for o, low, high in (
            (o, min(values), max(values))
            for o, values in zip(front.objectives, front.values().T.tolist(), strict=True)
            if values
        )
    ]
    told = ", ".join(extents) or ", ".join(map(str, front.objectives))
    evaluated = front.provenance.get("evaluated", len(front.evaluated))
    return f"<ParetoSet: {len(front)} of {evaluated} evaluated of {front.space}; {told}>"


def table_html(front: ParetoSet) -> str:
    """Give the first members as an HTML table, with the one nearest to the ideal point marked."""
    knee = front.knee() if front.members else None
    head = "".join(f"<th>{escape(text)}</th>" for text in ("#", *map(str, front.objectives)))
    rows = "".join(
        f"<tr><td>{rank}{' ★' if member is knee else ''}</td>"
        + "".join(f"<td>{value:.5g}</td>" for value in member.values)
        + f"<td style='text-align:left'><code>{escape(member.arch)}</code></td></tr>"
        for rank, member in enumerate(front.members[:SHOWN], start=1)
    )
    if (baseline := front.baseline) is not None:
        known = ("–" if value is None else f"{value:.5g}" for value in baseline.values)
        cells = "".join(f"<td>{text}</td>" for text in known)
        name = f"<td style='text-align:left'>baseline: {escape(baseline.name)}</td>"
        rows += f"<tr><td>–</td>{cells}{name}</tr>"
    more = len(front) - SHOWN
    rest = f"<p>… and {more} more: <code>to_dataframe()</code></p>" if more > 0 else ""
    return (
        f"<div><p>{escape(one_line(front)[1:-1])}</p><table><thead><tr>{head}"
        f"<th style='text-align:left'>architecture</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{rest}</div>"
    )


def members_table(front: ParetoSet) -> pd.DataFrame:
    """Give a row a member; see `ParetoSet.to_dataframe`."""
    import pandas as pd

    names = [objective.name for objective in front.objectives]
    attributes = {c: n for c, n in member_columns(front).items() if not _repeats(front, n)}
    columns: dict[str, list[Any]] = {
        **{name: [m.values[i] for m in front.members] for i, name in enumerate(names)},
        ARCHITECTURE: [m.arch for m in front.members],
        "key": [m.key for m in front.members],
        **{
            column: [m.attributes.get(name) for m in front.members]
            for column, name in attributes.items()
        },
        **{name: [key] * len(front) for name, key in device_columns(front).items()},
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(front) + 1, name="rank"))


def _repeats(front: ParetoSet, name: str) -> bool:
    """Tell whether an attribute is nothing but the objective of its name."""
    places = [i for i, objective in enumerate(front.objectives) if objective.name == name]
    return any(all(m.attributes.get(name) == m.values[i] for m in front.members) for i in places)


def evaluated_table(front: ParetoSet) -> pd.DataFrame:
    """Give a row an evaluated architecture; see `ParetoSet.to_dataframe`."""
    import pandas as pd

    rows = front.evaluated
    names = [objective.name for objective in front.objectives]
    members = {member.key for member in front.members}
    values = {name: [row.values[i] for row in rows] for i, name in enumerate(names)}
    return pd.DataFrame(
        {
            **{name: pd.array(column, dtype="float64") for name, column in values.items()},
            ARCHITECTURE: [row.arch for row in rows],
            "key": [row.key for row in rows],
            "status": [row.status for row in rows],
            "on_front": [row.key in members and row.status == "complete" for row in rows],
        }
    )
