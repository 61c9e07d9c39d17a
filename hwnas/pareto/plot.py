"""A Pareto set as a figure: each pair of objectives, with what is dominated behind the members."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hwnas.pareto.pareto_set import ParetoSet
from hwnas.pareto.same_device import recorded_devices

if TYPE_CHECKING:
    import plotly.graph_objects as go

_BLUE, _GREY, _ORANGE = "#1661c4", "#a5afbd", "#c2410c"
_PANEL = 420
"""Pixels of a panel, which is as wide as high."""
_Points = Sequence[tuple[Sequence[float | None], str]]


def plot(front: ParetoSet) -> go.Figure:
    """Draw the set; see `ParetoSet.plot`."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    pairs = _pairs(front)
    figure = make_subplots(rows=1, cols=len(pairs)) if len(pairs) > 1 else go.Figure()
    for place, (x, y) in enumerate(pairs, start=1):
        where = {"row": 1, "col": place} if len(pairs) > 1 else {}
        for trace in _traces(front, x, y, legend=place == 1):
            figure.add_trace(trace, **where)
        figure.update_xaxes(title=_title(front, x), **where)
        figure.update_yaxes(title=_title(front, y), **where)
    figure.update_layout(
        template="plotly_white",
        width=80 + _PANEL * len(pairs) + (120 if len(pairs) == 1 else 0),
        height=_PANEL + 60,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"t": 40},
    )
    return figure


def _pairs(front: ParetoSet) -> list[tuple[int | None, int]]:
    """Give x and y: what is paid stands on the x axis where the other is gained."""
    if len(front.objectives) == 1:
        return [(None, 0)]
    return [
        (j, i)
        if front.directions[i] == "maximize" and front.directions[j] == "minimize"
        else (i, j)
        for i, j in combinations(range(len(front.objectives)), 2)
    ]


def _title(front: ParetoSet, place: int | None) -> str:
    """Name the axis, and below it what a cost was measured on."""
    if place is None:
        return "order of evaluation"
    objective = front.objectives[place]
    key = recorded_devices(front).get(objective.name)
    return _safe(str(objective)) + (f"<br><sub>{_safe(key)}</sub>" if key else "")


def _traces(front: ParetoSet, x: int | None, y: int, legend: bool) -> list[Any]:
    """Draw what is dominated, what is infeasible, the members, and the one nearest to ideal."""
    import plotly.graph_objects as go

    return [
        go.Scatter(
            x=[order if x is None else values[x] for order, (values, _) in enumerate(points, 1)],
            y=[values[y] for values, _ in points],
            text=[text for _, text in points],
            mode="markers",
            marker=marker,
            name=name,
            legendgroup=name,
            showlegend=legend,
            hovertemplate="%{x:.5g}, %{y:.5g}<br>%{text}",
        )
        for name, points, marker in _kinds(front, x, y)
        if points
    ]


def _kinds(front: ParetoSet, x: int | None, y: int) -> list[tuple[str, _Points, dict[str, Any]]]:
    """Give the points of each kind and how they are marked, what lies on top last."""
    keys = {member.key for member in front.members}
    others = [e for e in front.evaluated if e.key not in keys]
    knee = [front.knee()] if front.members else []
    members: _Points = [
        (m.values, f"#{i}<br>{_safe(m.arch)}") for i, m in enumerate(front.members, 1)
    ]
    return [
        (
            "dominated",
            [(e.values, _safe(e.arch)) for e in others if e.status == "complete"],
            {"color": _GREY, "size": 6},
        ),
        (
            "infeasible",
            [(e.values, _safe(e.arch)) for e in others if e.status == "infeasible"],
            {"color": _GREY, "size": 7, "symbol": "x-thin-open"},
        ),
        ("Pareto set", members, {"color": _BLUE, "size": 10}),
        (
            "nearest to ideal",
            [(m.values, _safe(m.arch)) for m in knee],
            {"color": _ORANGE, "size": 15, "symbol": "star"},
        ),
        (
            "baseline",
            _baseline(front, x, y),
            {"color": "black", "size": 13, "symbol": "diamond-open"},
        ),
    ]


def _baseline(front: ParetoSet, x: int | None, y: int) -> _Points:
    """Give the present network's point, where both of its values are known."""
    if (baseline := front.baseline) is None:
        return []
    shown = [baseline.values[i] for i in (x, y) if i is not None]
    return [] if None in shown else [(baseline.values, _safe(baseline.name))]


def _safe(text: str) -> str:
    """Keep Plotly from reading a text as its HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
