"""The page of `hwnas rank --plot`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hwnas.reports.rank_plot import render_rank_plot, sorted_labels
from tests.hwnas.reports.chromium import look, needs_chromium

BASE = {
    **{"dataset": "cifar10", "split": "validation", "column": "accuracy"},
    **{"n": 1200, "ndcg_p": 7, "kind": "proxy"},
}


def row(score: str, **other: Any) -> dict[str, Any]:
    return {**BASE, "score": score, "kendall": 0.5, "spearman": 0.6, "ndcg": 0.7, **other}


def data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    read: dict[str, Any] = json.loads(found[1])
    return read


def test_a_panel_a_metric_with_a_bar_a_data_set() -> None:
    rows = [row("naswot"), row("naswot", dataset="cifar100", kendall=float("nan"))]
    page = render_rank_plot(rows)
    metrics = data(page)["metrics"]
    assert [m["title"] for m in metrics] == ["Spearman ρ", "Kendall τ-b", "nDCG@7"]
    assert [bar["value"] for bar in metrics[1]["bars"]] == [0.5, None]
    assert data(page)["datasets"] == ["cifar10", "cifar100"]
    assert "cifar100, validation accuracy: 1,200 architectures" in page


def test_losses_are_called_so() -> None:
    page = render_rank_plot([row("naswot", split="mine.csv", column="loss")])
    assert "cifar10, mine.csv loss: 1,200 architectures" in page
    assert "against the mine.csv loss" in page
    assert data(page)["column"] == "loss"


def test_scores_are_sorted_by_the_first_data_set() -> None:
    rows = [
        row("a", spearman=0.1),
        row("b", spearman=0.9),
        row("c", spearman=float("nan")),
        row("a", spearman=1.0, dataset="cifar100"),
        row("model", kind="50 labels", spearman=0.5),
    ]
    assert sorted_labels(rows) == ["b", "model (50 labels)", "a", "c"]


def test_published_figures_and_intervals_are_there_and_told() -> None:
    plain = render_rank_plot([row("naswot")])
    assert "Diamonds" not in plain
    assert "intervals" not in plain.partition("<script")[0]
    page = render_rank_plot([row("naswot", published_kendall=0.55, kendall_95=[0.25, 1.0])])
    assert "Diamonds" in page
    bar = data(page)["metrics"][1]["bars"][0]
    assert (bar["published"], bar["interval"]) == (0.55, [0.25, 1.0])
    unknown = render_rank_plot([row("constant", kendall_95=[float("nan")] * 2)])
    assert data(unknown)["metrics"][1]["bars"][0]["interval"] is None


def test_what_scores_gain_over_one_of_them_has_a_panel() -> None:
    rows = [
        row("hwnas-model", kind="50 labels"),
        row("naswot", kendall_gain=-0.125, kendall_gain_95=[-0.25, 0.5]),
        row("params"),
    ]
    *_, gains = data(render_rank_plot(rows))["metrics"]
    assert gains["title"] == "Kendall τ-b above that of params"
    assert [bar["value"] for bar in gains["bars"]] == [None, -0.125, None]
    assert gains["bars"][1]["interval"] == [-0.25, 0.5]
    assert len(data(render_rank_plot([row("params")]))["metrics"]) == 3
    *_, alone = data(render_rank_plot([row("naswot", kendall_gain=0.0)]))["metrics"]
    assert alone["title"] == "Kendall τ-b above that of another score"


def test_names_cannot_become_markup() -> None:
    evil = "</script><script>alert(1)</script>"
    page = render_rank_plot([row(evil, dataset=evil)])
    assert page.count("<script") == 3
    assert data(page)["labels"] == [evil]


@needs_chromium
def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    names = ["a_score_of_a_long_name", "naswot", "zen", *(f"s{i}" for i in range(20))]
    rows = [row(name, dataset=d) for d in ("cifar10", "ImageNet16-120") for name in names]
    points = {("cifar10", "naswot"): [(0.1, 50.0), (0.9, 90.0)]}
    script = """
      const panels = [...document.querySelectorAll("#ranks .plot")];
      panels[0].querySelector(".js-plotly-plot").emit("plotly_click",
        { points: [{ customdata: "naswot" }] });
      await new Promise((done) => setTimeout(done, 300));
      const edges = panels.map((p) => p.querySelector(".main-svg").getBoundingClientRect().right);
      const axes = panels.map((p) => p.querySelector(".js-plotly-plot").layout.xaxis.range.join());
      return { panels: panels.length, outside: edges.filter((x) => x > innerWidth).length,
        bars: document.querySelectorAll("#ranks .bars .point").length, axes: new Set(axes).size,
        cloud: document.querySelectorAll("#clouds .point").length,
        chosen: document.getElementById("chosen").textContent };
    """
    for answer in look(render_rank_plot(rows, points), script, tmp_path, 390, 1400):
        assert answer["wrong"] == []
        assert answer["wide"] <= 0
        assert answer["found"] == {
            "panels": 3, "outside": 0, "bars": 3 * len(rows), "axes": 1, "cloud": 2,
            "chosen": "naswot and accuracy",
        }  # fmt: skip
