import json
import re
from typing import Any

from hwnas.reports.rank_plot import render_rank_plot

BASE = {"dataset": "cifar10", "split": "validation", "n": 100, "ndcg_p": 7, "kind": "proxy"}


def row(score: str, **other: Any) -> dict[str, Any]:
    return {**BASE, "score": score, "kendall": 0.5, "spearman": 0.6, "ndcg": 0.7, **other}


def traces(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = re.search(
        r"Plotly.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{", render_rank_plot(rows), re.S
    )
    assert found is not None
    data: list[dict[str, Any]] = json.loads(found[1])
    return data


def test_a_panel_a_metric_and_a_colour_a_data_set() -> None:
    rows = [row("naswot"), row("naswot", dataset="cifar100", kendall=0.4)]
    found = traces(rows)
    assert [trace["name"] for trace in found] == ["cifar10"] * 3 + ["cifar100"] * 3
    assert [trace["y"] for trace in found] == [["naswot"]] * 6
    assert len({trace["marker"]["color"] for trace in found}) == 2
    assert "nDCG@7" in render_rank_plot(rows)


def test_published_figures_and_labels_are_marked() -> None:
    rows = [
        row("naswot", published_kendall=0.55, published_spearman=None),
        row("hwnas-model", kind="50 labels"),
    ]
    bars, diamonds, *_ = traces(rows)
    assert bars["y"] == ["naswot", "hwnas-model (50 labels)"]
    assert diamonds["name"] == "cifar10, published"
    assert diamonds["y"] == ["naswot"]


def test_intervals_are_error_bars() -> None:
    bars, *_ = traces([row("naswot", kendall_95=[0.25, 1.0])])
    assert bars["error_x"]["symmetric"] is False
    low, high = bars["error_x"]["arrayminus"], bars["error_x"]["array"]
    assert (low, high) == ([0.25], [0.5]) or "bdata" in json.dumps([low, high])
