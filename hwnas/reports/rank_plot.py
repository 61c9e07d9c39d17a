"""A page with the rank correlations of proxies and ready-made scores, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.files.atomic import write_text
from hwnas.reports.page import page

_METRICS = {"spearman": "Spearman ρ", "kendall": "Kendall τ-b", "ndcg": "nDCG@{p}"}
_GAIN = "kendall_gain"
Points = Mapping[tuple[str, str], Sequence[tuple[float, float]]]
"""Ranks of a score, from 0 to 1, and accuracies or losses, by data set and score."""


def write_rank_plot(
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    points: Points | None = None,
) -> None:
    """Write a self-contained HTML page of bars, a panel a metric and a colour a data set.

    Args:
        rows: what `hwnas.rank_study.rows.score_rows` gives; intervals (``<metric>_95``) become
            error bars, published figures diamonds; what a score gains over the one that all were
            compared with has a panel.
        path: file to write.
        points: architectures to show when a score is chosen; none by default.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    write_text(path, render_rank_plot(rows, points))


def render_rank_plot(rows: Sequence[Mapping[str, Any]], points: Points | None = None) -> str:
    """Give the page, about 5 MB of which nearly all is plotly.js; it needs no network."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    labels, column = sorted_labels(rows), rows[0]["column"]
    published = any(row.get(f"published_{m}") is not None for row in rows for m in _METRICS)
    return page(
        "rank.html",
        script="rank.js",
        data={
            "labels": labels,
            "datasets": datasets,
            "column": column,
            "metrics": [
                {"title": title, "bars": _bars(rows, metric)}
                for metric, title in _titles(rows).items()
            ],
            "points": [
                {"dataset": dataset, "score": score, "xy": list(map(list, found))}
                for (dataset, score), found in (points or {}).items()
            ],
        },
        title=f"Ranks by {len(labels)} scores, against the {rows[0]['split']} {column}",
        populations=[_population(rows, dataset) for dataset in datasets],
        published=published,
        intervals=any(f"{metric}_95" in row for row in rows for metric in _METRICS),
        points=bool(points),
    )


def _titles(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give the panels' titles; scores that were compared with one of them have one more."""
    titles = {metric: title.format(p=rows[0]["ndcg_p"]) for metric, title in _METRICS.items()}
    if any(_GAIN in row for row in rows):
        others = (row["score"] for row in rows if _GAIN not in row and not _is_learned(row))
        titles[_GAIN] = f"Kendall τ-b above that of {next(others, 'another score')}"
    return titles


def sorted_labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the scores' names, the best of the first data set first."""
    first = rows[0]["dataset"]
    best: dict[str, float] = {}
    for row in rows:
        value = row["spearman"]
        known = value if value == value else float("-inf")
        if row["dataset"] == first or _label(row) not in best:
            best[_label(row)] = known
    return sorted(best, key=lambda name: -best[name])


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['score']} ({row['kind']})" if _is_learned(row) else str(row["score"])


def _is_learned(row: Mapping[str, Any]) -> bool:
    return str(row["kind"]).endswith("labels")


def _bars(rows: Sequence[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        ends = row.get(f"{metric}_95")
        known = ends is not None and all(end == end for end in ends)
        found.append(
            {"label": _label(row), "score": row["score"], "dataset": row["dataset"]}
            | {"value": row.get(metric), "interval": ends if known else None}
            | {"published": row.get(f"published_{metric}")}
        )
    return found


def _population(rows: Sequence[Mapping[str, Any]], dataset: str) -> str:
    row = next(row for row in rows if row["dataset"] == dataset)
    live = f", {row['live']:,} of them live" if "live" in row else ""
    networks = f", {row['networks']:,} different networks" if "networks" in row else ""
    return f"{dataset}, {row['split']} {row['column']}: {row['n']:,} architectures{live}{networks}"
