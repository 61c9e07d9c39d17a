"""A self-contained HTML report of a Pareto set: plots, table, drawings and provenance.

The page holds plotly.js and its own script and style, and a content security policy that forbids
every network access. Its template escapes every text.
"""

from __future__ import annotations

import os
from typing import Any

from hwnas.files.atomic import write_text
from hwnas.pareto.baseline import Baseline, findings
from hwnas.pareto.pareto_set import Evaluated, ParetoSet
from hwnas.pareto.progress import hypervolumes
from hwnas.pareto.spread import interval
from hwnas.pareto.uncertainty import still_predicted
from hwnas.reports.drawing import draw_architecture
from hwnas.reports.page import page
from hwnas.reports.report_table import card_values, members_table
from hwnas.reports.report_words import (
    command,
    counts,
    how_found,
    meanings,
    provenance_in_words,
    setting,
    title,
)
from hwnas.typing import Arch, SearchSpace


def write_report(
    pareto_set: ParetoSet, path: str | os.PathLike[str], space: SearchSpace[Arch] | None = None
) -> None:
    """Write the report; `space` is needed for drawings and counts of the architectures.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    write_text(path, render_report(pareto_set, space))


def render_report(pareto_set: ParetoSet, space: SearchSpace[Arch] | None = None) -> str:
    """Give the report's HTML, about 5 MB of which nearly all is plotly.js.

    A set without members gives a page that says so and shows the counts and the provenance.
    """
    return page(
        "report.html",
        script="report.js",
        data=_data(pareto_set),
        plots=len(pareto_set) > 0,
        title=title(pareto_set),
        setting=setting(pareto_set),
        space=pareto_set.space,
        counts=counts(pareto_set),
        command=command(pareto_set.provenance),
        meanings=meanings(pareto_set),
        how_found=how_found(pareto_set),
        front=pareto_set,
        shown={row.status for row in pareto_set.evaluated},
        findings=list(findings(pareto_set)),
        table=members_table(pareto_set, space) if len(pareto_set) else None,
        cards=_cards(pareto_set, space),
        provenance=provenance_in_words(pareto_set.provenance),
    )


def _cards(front: ParetoSet, space: SearchSpace[Arch] | None) -> list[dict[str, Any]]:
    knee = front.knee() if len(front) else None
    return [
        {
            "rank": rank,
            "knee": member is knee,
            "arch": member.arch,
            "drawing": draw_architecture(member.arch, space),
            "values": card_values(front, member),
        }
        for rank, member in enumerate(front.members, start=1)
    ]


def _data(pareto_set: ParetoSet) -> dict[str, Any]:
    """Give the plots' data as JSON values."""
    members = {member.key for member in pareto_set.members}
    # Of repeated evaluations only the first is drawn: it is the one that counted.
    first: dict[str, tuple[int, Evaluated]] = {}
    for order, row in enumerate(pareto_set.evaluated, start=1):
        if row.status not in ("failed", "pruned"):
            first.setdefault(row.key, (order, row))
    orders = {key: order for key, (order, _) in first.items()}
    predicted = set(still_predicted(pareto_set))
    return {
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction}
            | {"predicted": o.name in predicted}
            for o in pareto_set.objectives
        ],
        "members": [
            {
                "arch": m.arch,
                "values": m.values,
                "intervals": [
                    interval(m, o.name, value)
                    for o, value in zip(pareto_set.objectives, m.values, strict=True)
                ],
                "rank": rank,
                "order": orders.get(m.key, rank),
            }
            for rank, m in enumerate(pareto_set.members, start=1)
        ],
        "others": [
            {"arch": row.arch, "values": row.values, "status": row.status, "order": order}
            for key, (order, row) in first.items()
            if key not in members
        ],
        "baseline": _baseline_data(pareto_set.baseline),
        "knee": pareto_set.members.index(pareto_set.knee()) + 1 if len(pareto_set) else None,
        "hypervolumes": hypervolumes(pareto_set),
    }


def _baseline_data(baseline: Baseline | None) -> dict[str, Any] | None:
    return None if baseline is None else {"arch": baseline.name, "values": baseline.values}
