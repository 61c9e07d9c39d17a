"""A self-contained HTML report of a Pareto set: plot, table, drawings and provenance.

The page holds plotly.js and its own script and style, and a content security policy that forbids
every network access.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from importlib import resources
from string import Template
from typing import Any

from hwnas.files.atomic import write_text
from hwnas.pareto.baseline import Baseline, against, findings
from hwnas.pareto.json_csv import attribute_names, attribute_text
from hwnas.pareto.pareto_set import Evaluated, Member, ObjectiveInfo, ParetoSet
from hwnas.pareto.same_device import parse_key
from hwnas.reports.drawing import draw_architecture
from hwnas.typing import SearchSpace

_COUNTS = ("evaluated", "infeasible", "failed", "repeated")


def write_report(
    pareto_set: ParetoSet, path: str | os.PathLike[str], space: SearchSpace[Any] | None = None
) -> None:
    """Write the report; `space` is needed for the drawings of the architectures.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    write_text(path, render_report(pareto_set, space))


def render_report(pareto_set: ParetoSet, space: SearchSpace[Any] | None = None) -> str:
    """Give the report's HTML, about 5 MB of which nearly all is plotly.js.

    A set without members gives a page that says so and shows the counts and the provenance.
    """
    from plotly.offline import get_plotlyjs

    def page(name: str) -> str:
        return (resources.files(__package__) / "report_page" / name).read_text(encoding="utf-8")

    return Template(page("page.html")).substitute(
        title=escape(_title(len(pareto_set))),
        space=escape(pareto_set.space),
        counts=_counts(pareto_set),
        body=_body(pareto_set, space) if len(pareto_set) else _nothing(pareto_set),
        provenance=_provenance(pareto_set.provenance),
        style=page("style.css"),
        script=page("report.js"),
        plotly=get_plotlyjs() if len(pareto_set) else "",
        data=_data(pareto_set),
    )


def _title(n: int) -> str:
    return f"Pareto set of {n} architecture{'' if n == 1 else 's'}" if n else "Empty Pareto set"


def format_number(value: float) -> str:
    """Show five significant digits, and whole numbers in full with thousands separators."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.5g}"


def _data(pareto_set: ParetoSet) -> str:
    """Give the plot's data as JSON that cannot end the script element it stands in."""
    members = {member.key for member in pareto_set.members}
    # Of repeated evaluations only the first is drawn: it is the one that counted.
    first: dict[str, tuple[int, Evaluated]] = {}
    for order, row in enumerate(pareto_set.evaluated, start=1):
        if row.status != "failed":
            first.setdefault(row.key, (order, row))
    orders = {key: order for key, (order, _) in first.items()}
    document = {
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction}
            for o in pareto_set.objectives
        ],
        "members": [
            {"arch": m.arch, "values": m.values, "rank": rank, "order": orders.get(m.key, rank)}
            for rank, m in enumerate(pareto_set.members, start=1)
        ],
        "others": [
            {"arch": row.arch, "values": row.values, "status": row.status, "order": order}
            for key, (order, row) in first.items()
            if key not in members
        ],
        "baseline": _baseline_data(pareto_set.baseline),
        "knee": pareto_set.members.index(pareto_set.knee()) + 1 if len(pareto_set) else None,
    }
    return json.dumps(document, allow_nan=False).replace("<", "\\u003c")


def _baseline_data(baseline: Baseline | None) -> dict[str, Any] | None:
    return None if baseline is None else {"arch": baseline.name, "values": baseline.values}


def _counts(pareto_set: ParetoSet) -> str:
    numbers = {"on the front": len(pareto_set)}
    numbers |= {n: pareto_set.provenance[n] for n in _COUNTS if n in pareto_set.provenance}
    return "".join(
        f"<li><b>{escape(str(n))}</b> {escape(name)}</li>" for name, n in numbers.items()
    )


def _nothing(pareto_set: ParetoSet) -> str:
    names = ", ".join(escape(str(objective)) for objective in pareto_set.objectives)
    return (
        "<section class='empty'><h2>The Pareto set is empty</h2><p>No evaluated architecture is "
        f"feasible and has a value for each objective ({names}). Loosen the constraints, or look "
        "for failed evaluations in the counts above.</p></section>"
    )


def _body(pareto_set: ParetoSet, space: SearchSpace[Any] | None) -> str:
    plot = (
        "<section aria-labelledby='front'><h2 id='front'>Front</h2><p class='hint'>Blue marks "
        "are the Pareto set, grey ones are dominated, crosses infeasible; the star is the member "
        "nearest to the ideal point, losses scaled over the front. Point at a mark for its "
        "architecture, click it to mark it below.</p><div class='plots'></div></section>"
    )
    return plot + _comparison(pareto_set) + _table(pareto_set) + _cards(pareto_set, space)


def _comparison(pareto_set: ParetoSet) -> str:
    """Say what the members are worth beside the user's present network."""
    if (baseline := pareto_set.baseline) is None:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in findings(pareto_set))
    return (
        "<section aria-labelledby='baseline'><h2 id='baseline'>Beside "
        f"{escape(baseline.name)}</h2><ul class='findings'>{lines}</ul></section>"
    )


def _repeats(pareto_set: ParetoSet, name: str) -> bool:
    """Tell whether an attribute is an objective that the table has already."""
    places = [i for i, o in enumerate(pareto_set.objectives) if o.name == name]
    same = (m.attributes.get(name) == m.values[i] for i in places for m in pareto_set.members)
    return bool(places) and all(same)


def _table(pareto_set: ParetoSet) -> str:
    names = [n for n in attribute_names(pareto_set) if not _repeats(pareto_set, n)]
    heads = [("#", "", "number")]
    for objective in pareto_set.objectives:
        heads.append((objective.name, _meaning(objective), "number"))
        if pareto_set.baseline is not None:
            heads.append(("baseline", f"{objective.name} against it", ""))
    heads += [("architecture", "", ""), ("key", "", "")]
    heads += [
        (name, "", _kind(m.attributes.get(name) for m in pareto_set.members)) for name in names
    ]
    head = "".join(
        f"<th scope='col' class='{kind}' aria-sort='none'><button type='button'>"
        f"<span>{escape(name)}</span>{f'<small>{escape(note)}</small>' if note else ''}"
        "</button></th>"
        for name, note, kind in heads
    )
    rows = "".join(
        _row(pareto_set, rank, m, names) for rank, m in enumerate(pareto_set.members, start=1)
    )
    foot = _baseline_row(pareto_set, len(names))
    return (
        "<section aria-labelledby='members'><h2 id='members'>Members</h2><div class='scroll' "
        "tabindex='0' role='region' aria-labelledby='members'><table><thead><tr>"
        f"{head}</tr></thead><tbody>{rows}</tbody>{foot}</table></div></section>"
    )


def _row(pareto_set: ParetoSet, rank: int, member: Member, names: list[str]) -> str:
    cells = [_cell(rank)]
    for place, value in enumerate(member.values):
        cells.append(_cell(value))
        if (baseline := pareto_set.baseline) is not None:
            objective, before = pareto_set.objectives[place], baseline.values[place]
            order = "" if before is None else value - before
            text = escape(against(objective, value, before))
            cells.append(f"<td data-value='{order}'>{text}</td>")
    # A line may be broken between the nodes of a cell.
    arch = escape(member.arch).replace("+", "+<wbr>")
    cells.append(f"<td class='arch' data-value='{escape(member.arch)}'><code>{arch}</code></td>")
    cells.append(
        f"<td data-value='{escape(member.key)}'><code title='{escape(member.key)}'>"
        f"{escape(member.key[:12])}</code></td>"
    )
    cells += [_cell(member.attributes.get(name)) for name in names]
    return f"<tr data-rank='{rank}' tabindex='0'>{''.join(cells)}</tr>"


def _baseline_row(pareto_set: ParetoSet, attributes: int) -> str:
    """Give the row below the members, which sorting leaves alone."""
    if (baseline := pareto_set.baseline) is None:
        return ""
    values = "".join(f"{_cell(value)}<td></td>" for value in baseline.values)
    name = f"<td class='arch'>{escape(baseline.name)}</td>"
    return f"<tfoot><tr><td>–</td>{values}{name}{'<td></td>' * (1 + attributes)}</tr></tfoot>"


def _cell(value: Any) -> str:
    text = escape(attribute_text(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"<td class='number' data-value='{text}' title='{text}'>{format_number(value)}</td>"
    return f"<td data-value='{text}'>{text or '–'}</td>"


def _cards(pareto_set: ParetoSet, space: SearchSpace[Any] | None) -> str:
    drawings = [draw_architecture(member.arch, space) for member in pareto_set.members]
    if not any(drawings):
        return ""
    knee = pareto_set.knee()
    cards = "".join(
        f"<article class='card' data-rank='{rank}' tabindex='0'><header><h3>#{rank}</h3>"
        f"{'<span class=star>★ nearest to ideal</span>' if member is knee else ''}</header>"
        f"<div class='drawing'>{drawing}</div>{_values(pareto_set, member)}</article>"
        for rank, (member, drawing) in enumerate(
            zip(pareto_set.members, drawings, strict=True), start=1
        )
    )
    return (
        "<section aria-labelledby='drawings'><h2 id='drawings'>Architectures</h2><p class='hint'>"
        "Dashed operations lie on no path from the input to the output.</p>"
        f"<div class='cards'>{cards}</div></section>"
    )


def _values(pareto_set: ParetoSet, member: Member) -> str:
    rows = "".join(
        f"<dt>{escape(o.name)}</dt><dd>{format_number(value)} {escape(o.unit)}</dd>"
        for o, value in zip(pareto_set.objectives, member.values, strict=True)
    )
    return f"<dl>{rows}</dl>"


def _provenance(provenance: Mapping[str, Any]) -> str:
    """Make a panel of the single values and one of each mapping."""
    costs = {f"cost {cost.get('objective')}": _key_parts(cost) for cost in _costs(provenance)}
    single = {
        k: v
        for k, v in provenance.items()
        if not isinstance(v, Mapping) and not (k == "costs" and costs)
    }
    rest = {k: v for k, v in provenance.items() if isinstance(v, Mapping)}
    groups: dict[str, Mapping[str, Any]] = {"run": single} | costs | rest
    return "".join(_panel(name, group) for name, group in groups.items() if group) or (
        "<p>Nothing is known of the origin of this set.</p>"
    )


def _costs(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    costs = provenance.get("costs")
    found = costs if isinstance(costs, list) else []
    return [cost for cost in found if isinstance(cost, Mapping)]


def _key_parts(cost: Mapping[str, Any]) -> dict[str, Any]:
    """Write the parts of a cost's device key out, then what else is known of it."""
    key = parse_key(str(cost.get("device", "")))
    parts = {} if key is None else {k: v for k, v in asdict(key).items() if v is not None}
    return {k: v for k, v in cost.items() if k not in ("objective", "device")} | (
        parts or {"device": cost.get("device")}
    )


def _panel(name: str, group: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{escape(str(k))}</dt><dd>{escape(attribute_text(v)) or '–'}</dd>"
        for k, v in group.items()
    )
    return f"<div class='panel'><h3>{escape(name.capitalize())}</h3><dl>{rows}</dl></div>"


def _meaning(objective: ObjectiveInfo) -> str:
    """Write unit and direction out, for those who do not know the arrows."""
    better = "lower is better" if objective.direction == "minimize" else "higher is better"
    return f"{objective.unit}, {better}" if objective.unit else better


def _kind(values: Any) -> str:
    numbers = [v for v in values if v is not None]
    plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers)
    return "number" if numbers and plain else ""
