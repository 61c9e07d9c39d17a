"""A page with the rank correlations of proxies and ready-made scores, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.files.atomic import write_text

_METRICS = {"kendall": "Kendall τ-b", "spearman": "Spearman ρ", "ndcg": "nDCG@{p}"}
_ROW_PIXELS = 26
_MARGIN_PIXELS = 200


def write_rank_plot(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write a self-contained HTML page of bars, a panel a metric and a colour a data set.

    Args:
        rows: what `hwnas.rank_study.comparison.compare` gives, with ``dataset`` and ``split``;
            intervals (``<metric>_95``) become error bars, published figures diamonds.
        path: file to write.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    write_text(path, render_rank_plot(rows))


def render_rank_plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give the page, about 5 MB of which nearly all is plotly.js; it needs no network."""
    import plotly.graph_objects as go
    from plotly.colors import qualitative
    from plotly.subplots import make_subplots

    titles = [title.format(p=rows[0]["ndcg_p"]) for title in _METRICS.values()]
    figure = make_subplots(rows=1, cols=len(titles), shared_yaxes=True, subplot_titles=titles)
    labels = _labels(rows)
    for colour, dataset in zip(
        qualitative.Safe, dict.fromkeys(row["dataset"] for row in rows), strict=False
    ):
        shown = [row for row in rows if row["dataset"] == dataset]
        names = [labels[row["score"], row["kind"]] for row in shown]
        for column, metric in enumerate(_METRICS, start=1):
            bars = go.Bar(
                x=[row[metric] for row in shown],
                y=names,
                orientation="h",
                name=dataset,
                legendgroup=dataset,
                showlegend=column == 1,
                marker_color=colour,
                error_x=_intervals(shown, metric),
            )
            figure.add_trace(bars, row=1, col=column)
            if published := [
                (row[f"published_{metric}"], name)
                for row, name in zip(shown, names, strict=True)
                if row.get(f"published_{metric}") is not None
            ]:
                points = go.Scatter(
                    x=[value for value, _ in published],
                    y=[name for _, name in published],
                    mode="markers",
                    marker={"symbol": "diamond-open", "color": colour, "size": 9},
                    name=f"{dataset}, published",
                )
                figure.add_trace(points, row=1, col=column)
    about = f"{rows[0]['split']} accuracy, {rows[0]['n']:,} architectures"
    height = _MARGIN_PIXELS + _ROW_PIXELS * len(labels)
    figure.update_layout(
        title=f"Rank correlation with the {about}", template="plotly_white", height=height
    )
    figure.update_yaxes(autorange="reversed")
    return str(figure.to_html(include_plotlyjs=True, full_html=True))


def _labels(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Name each score; those that learn from labels say from how many."""
    kinds = {(row["score"], row["kind"]) for row in rows}
    return {
        (score, kind): f"{score} ({kind})" if kind.endswith("labels") else score
        for score, kind in kinds
    }


def _intervals(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    if not any(f"{metric}_95" in row for row in rows):
        return None
    ends = [row.get(f"{metric}_95", [row[metric]] * 2) for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - row[metric] for row, (_, high) in zip(rows, ends, strict=True)],
        "arrayminus": [row[metric] - low for row, (low, _) in zip(rows, ends, strict=True)],
    }
