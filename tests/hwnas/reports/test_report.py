from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.graphs.drawing import draw_graph
from hwnas.pareto import ObjectiveInfo, ParetoSet, Status
from hwnas.pareto.baseline import Baseline
from hwnas.reports.drawing import draw_architecture
from hwnas.reports.report import render_report, write_report
from hwnas.reports.report_table import Column, format_number
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.spaces.nasbench201.drawing import draw_cell
from tests.hwnas.reports.chromium import look, needs_chromium

SPACE = NasBench201()
LIVE = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
INFOS = (
    ObjectiveInfo("score", "", "maximize"),
    ObjectiveInfo("latency_ms", "ms", "minimize"),
    ObjectiveInfo("energy_mj", "mJ", "minimize"),
)
EVIL = "</script><script>alert(1)</script>'\"&<b>"


def example(m: int = 2, evil: str = "ok") -> ParetoSet:
    values = [
        [3.0, 30.0, 3.0],
        [1.0, 10.0, 1.0],
        [2.0, 40.0, 5.0],
        [9.0, 1.0, 1.0],
        [1, math.nan, 1],
    ]
    statuses: list[Status] = ["complete", "complete", "complete", "infeasible", "failed"]
    return ParetoSet.from_values(
        [LIVE, DEAD, LIVE, DEAD, LIVE],
        ["k0" + evil, "k1", "k2", "k3", "k4"],
        np.array(values)[:, :m],
        INFOS[:m],
        space=SPACE,
        statuses=statuses,
        attributes=[{"note": evil}, {"params": 9}, {}, {}, {}],
        provenance={"seed": 11, "host": {"processor": evil}, evil: evil},
    )


class Page(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def plot_data(html: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    write_report(example(), tmp_path / "report.html", SPACE)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not page.all("link")
    assert not page.all("img")
    assert not any({"src", "href", "action"} & set(attributes) for _, attributes in page.elements)
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert "@import" not in "".join(re.findall(r"<style>.*?</style>", html, re.DOTALL))
    assert "Plotly" in html


def test_texts_from_outside_cannot_become_markup() -> None:
    harmless, evil = (
        Page(render_report(example(), SPACE)),
        Page(render_report(example(evil=EVIL), SPACE)),
    )
    assert len(evil.all("script")) == len(harmless.all("script")) == 3
    assert len(evil.all("b")) == len(harmless.all("b"))
    assert EVIL in evil.text
    assert EVIL in [a.get("data-value") for a in evil.all("td")]


def test_data_from_outside_cannot_end_the_script() -> None:
    found = ParetoSet.from_values([EVIL], ["k"], [[1.0]], [ObjectiveInfo(EVIL)], space=EVIL)
    html = render_report(found)
    data = plot_data(html)
    assert data["members"][0]["arch"] == EVIL
    assert data["objectives"][0]["name"] == EVIL
    assert len(Page(html).all("script")) == 3


def test_the_plot_gets_every_point_once() -> None:
    data = plot_data(render_report(example(), SPACE))
    assert [(p["rank"], p["order"], p["values"]) for p in data["members"]] == [
        (1, 1, [3.0, 30.0]),
        (2, 2, [1.0, 10.0]),
    ]
    # The failed one has no place; the third is dominated by the first.
    assert [(p["order"], p["status"]) for p in data["others"]] == [
        (3, "complete"),
        (4, "infeasible"),
    ]
    # Both members are at distance 1 from the ideal: the first wins.
    assert data["knee"] == 1


def test_repeated_evaluations_are_drawn_once() -> None:
    found = ParetoSet.from_values(
        ["a", "b", "b"], ["a", "b", "b"], [[1.0], [2.0], [0.5]], INFOS[1:2], space="toy"
    )
    assert [p["order"] for p in plot_data(render_report(found))["others"]] == [2]


def test_the_table_shows_units_directions_and_values() -> None:
    page = Page(render_report(example(), SPACE))
    assert "ms, lower is better" in page.text
    assert "higher is better" in page.text
    values = [a.get("data-value") for a in page.all("td")]
    assert values[:3] == ["1", "3.0", "30.0"]
    assert LIVE in values
    assert all(a.get("aria-sort") == "none" for a in page.all("th") if a["class"] != "pick")
    assert "key" not in [a.get("data-label") for a in page.all("td")]


def test_members_are_drawn_where_the_space_is_known() -> None:
    drawings = [a for a in Page(render_report(example(), SPACE)).all("svg") if "class" in a]
    assert len(drawings) == 2
    assert not [a for a in Page(render_report(example())).all("svg") if "class" in a]


@pytest.mark.parametrize("m", [1, 3])
def test_other_numbers_of_objectives_work(m: int) -> None:
    data = plot_data(render_report(example(m), SPACE))
    assert [o["name"] for o in data["objectives"]] == [info.name for info in INFOS[:m]]


def test_an_empty_front_is_said_in_words() -> None:
    empty = ParetoSet.from_values(
        ["a"], ["a"], [[math.nan, 1.0]], INFOS[:2], space=SPACE, provenance={"seed": 4}
    )
    page = Page(render_report(empty, SPACE))
    assert "The Pareto set is empty" in page.text
    assert "latency_ms (ms) ↓" in page.text
    assert "1 failed" in re.sub(r"\s+", " ", page.text)
    assert not page.all("table")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-1234567.0, "-1,234,567"),
        (0.000123456, "0.00012346"),
        (12345.678, "12,346"),
        (1234567.8, "1,234,568"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_are_short_and_whole_ones_in_full(value: float, text: str) -> None:
    assert format_number(value) == text


def svg(text: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter())


def labels(text: str, css: str) -> list[str | None]:
    return [e.text for e in svg(text) if css in e.get("class", "").split()]


class TestDrawing:
    def test_a_cell_has_its_nodes_and_operations(self) -> None:
        text = draw_cell(parse_cell(LIVE))
        assert labels(text, "node-text") == ["0", "1", "2", "3"]
        expected = ["conv 3×3", "pool 3×3", "conv 1×1", "skip", "conv 3×3"]
        assert labels(text, "label") == expected
        assert not labels(text, "dead")

    def test_dead_operations_are_dashed_and_said_to_be(self) -> None:
        text = draw_cell(parse_cell(DEAD))
        dead = [e.get("class") for e in svg(text) if "dead" in e.get("class", "").split()]
        assert dead == ["edge op-nor_conv_3x3 dead", "label op-nor_conv_3x3 dead"]
        assert "0 to 1: conv 3×3 (dead)" in text
        assert "0 to 3: conv 1×1;" in text + ";"
        assert "0 to 3: conv 1×1 (dead)" not in text

    def test_every_cell_is_well_formed(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            cell = SPACE.sample(rng)
            drawn = [e for e in svg(draw_cell(cell)) if "edge" in e.get("class", "").split()]
            assert len(drawn) == sum(o != "none" for o in cell.operations)

    def test_any_graph_can_be_drawn(self) -> None:
        adjacency = np.zeros((4, 4), dtype=np.int64)
        adjacency[0, 1] = adjacency[0, 2] = adjacency[1, 3] = 1
        adjacency[2, 3] = 2
        graph = ArchGraph(("input", "<evil op>", "conv", "output"), adjacency)
        text = draw_graph(graph)
        assert labels(text, "node-text") == ["input", "<evil op>", "conv", "output"]
        assert labels(text, "label") == ["×2"]
        boxes = [e for e in svg(text) if e.get("class", "").startswith("box")]
        assert len({(e.get("x"), e.get("y")) for e in boxes}) == 4
        columns = [float(e.get("x", "nan")) for e in boxes]
        assert columns[0] < columns[1] == columns[2] < columns[3]

    def test_a_long_chain_is_written_in_rows(self) -> None:
        n = 10
        names = ("input", *(f"op{i}" for i in range(n - 2)), "output")
        graph = ArchGraph(names, np.eye(n, k=1, dtype=np.int64))
        text = draw_graph(graph)
        boxes = [e for e in svg(text) if e.get("class", "").startswith("box")]
        heights = [float(e.get("y", "nan")) for e in boxes]
        assert len(set(heights)) == 3  # rows, of four each
        assert heights == sorted(heights)
        assert len([e for e in svg(text) if "edge" in e.get("class", "").split()]) == n - 1
        assert float(svg(text)[0].get("viewBox", "").split()[2]) < 500

    def test_equal_operations_of_a_chain_are_one_box(self) -> None:
        names = ("input", "k3:e6", *["k5:e6:w192"] * 5, "attention:h4:w216", "output")
        text = draw_graph(ArchGraph(names, np.eye(len(names), k=1, dtype=np.int64)))
        lines = ["input", "k3 e6", "k5 e6 w192", "×5", "attention h4", "w216", "output"]
        assert labels(text, "node-text") == lines
        assert labels(text, "small") == lines[2:6]
        assert "Chain of 9 operations" in text

    def test_what_cannot_be_read_is_not_drawn(self) -> None:
        assert draw_architecture(LIVE, None) == ""
        assert draw_architecture("no cell", SPACE) == ""
        assert draw_architecture(LIVE, SPACE) == draw_cell(parse_cell(LIVE))


BROWSED = """
  const rows = () => [...document.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
  const order = () => rows().map((row) => row.dataset.rank).join("");
  const click = (i) => document.querySelectorAll("thead th button")[i].click();
  const orders = [order()];
  for (const column of [2, 2, 1, 1, 3, 3]) { click(column); orders.push(order()); }
  rows()[0].click();
  const selected = document.querySelectorAll(".card.selected").length;
  const marks = document.querySelectorAll("#plots .scatterlayer .point").length;
  const input = document.querySelectorAll("#filter input")[1];
  input.value = "9.5";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  const filtered = [order(), document.getElementById("filtered").textContent];
  input.value = "";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  const boxes = [...document.querySelectorAll("td.pick input")]
    .sort((a, b) => a.value - b.value);
  boxes[0].click(); boxes[2].click();
  const compared = document.getElementById("compared").innerText;
  // As a click on the first mark of the front does.
  const plot = document.querySelector("#plots .js-plotly-plot");
  let seen = null;
  Element.prototype.scrollIntoView = function () { seen = `${this.tagName} ${this.dataset.rank}`; };
  plot.emit("plotly_click", { points: [{ customdata: 2 }] });
  document.querySelector(".drawing").click();
  const large = document.getElementById("large");
  const opened = large.open && large.querySelectorAll("svg").length === 1;
  const table = document.querySelector(".scroll");
  return { orders: orders.join(" "), selected, marks, filtered, compared, seen, opened,
    cut: table.scrollWidth - table.clientWidth };
"""


def browsed_front() -> ParetoSet:
    return ParetoSet.from_values(
        [LIVE, DEAD, LIVE, LIVE],
        ["a", "b", "c", "d"],
        [[30.0, 9.5], [200.0, 100.25], [4.0, 8.0], [1.0, 50.0]],
        INFOS[:2],
        space=SPACE,
        attributes=[{"params": 7}, {}, {"params": 10}, {"params": 8}],
    )


@needs_chromium
def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    [answer] = look(render_report(browsed_front(), SPACE), BROWSED, tmp_path, 1400)
    assert answer["wrong"] == []
    assert answer["wide"] <= 0
    found = answer["found"]
    # Members, best score first: (200, 100.25), (30, 9.5), (4, 8): the fourth is dominated.
    # By latency up and down, score up and down, params (missing for the first) up and down.
    assert found["orders"] == "123 321 123 321 123 231 321"
    assert found["selected"] == 1
    # One dominated mark, three on the front, the star; the ring of the selection.
    assert found["marks"] == 6
    assert sorted(found["filtered"][0]) == ["2", "3"]
    assert found["filtered"][1] == "2 of 3 members"
    # 200 to 4, and 100.25 to 8.
    assert "−98.0 % worse" in found["compared"]
    assert "−92.0 % better" in found["compared"]
    assert found["seen"] == "TR 2"
    assert found["opened"]
    assert found["cut"] <= 0


def with_everything() -> ParetoSet:
    """Give a front of three objectives with a predicted one, a baseline and long names."""
    names = ("edgegpu_energy_of_a_long_name_mj", "fpga_latency_ms")
    infos = [INFOS[0], *(ObjectiveInfo(name, name[-2:], "minimize") for name in names)]
    rng = np.random.default_rng(0)
    cells = [SPACE.sample(rng) for _ in range(12)]
    values = rng.random((12, 3)) * [1.0, 1e4, 10.0]
    front = ParetoSet.from_values(
        cells,
        [SPACE.canonical_key(cell) for cell in cells],
        values,
        infos,
        space=SPACE,
        attributes=[{f"{names[1]}_std": 0.5, "note": "x" * 80, "trial": i} for i in range(12)],
        provenance={
            "settings": {"space": "nasbench201", "costs": ["a:b:" + "c" * 90], "trials": 12},
            "dataset": {"name": "cifar10", "num_classes": 10, "in_shape": [3, 32, 32]},
            "host": {"cpu": "A processor " * 9, "memory_bytes": 25232932864},
        },
    )
    return replace(front, baseline=Baseline("my_module:present_network", (0.5, 10.0, None)))


@needs_chromium
def test_nothing_is_cut_at_any_width(tmp_path: Path) -> None:
    script = """
      const box = document.querySelector(".scroll");
      const plots = [...document.querySelectorAll(".plot")];
      const beyond = [...document.querySelectorAll("main *")].filter((e) =>
        e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("svg, .drawing"));
      return { beyond: beyond.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)),
        cut: box.scrollWidth - box.clientWidth, plots: plots.length,
        drawn: plots.filter((p) => p.querySelector(".main-svg")).length,
        outside: plots.filter((p) =>
          p.querySelector(".main-svg").getBoundingClientRect().right > innerWidth).length };
    """
    for answer in look(render_report(with_everything(), SPACE), script, tmp_path, 390, 1400):
        assert answer["wrong"] == []
        found = answer["found"]
        assert found["beyond"] == []
        assert answer["wide"] <= 0
        assert found["cut"] <= 0
        # Parallel coordinates, three pairs, the hypervolume, three histories.
        assert found["plots"] == found["drawn"] == 8
        assert found["outside"] == 0


@needs_chromium
def test_long_names_and_notes_leave_each_column_in_sight(tmp_path: Path) -> None:
    names = ("expressivity+params", "macs", "torch_cpu_latency_ms")
    more = {"expressivity": 33.639, "expressivity+params_better_than": 0.99609375, "trial": 11}
    front = ParetoSet.from_values(
        [f'{{"stages": {i}, "width_0": 64, "width_1": 32, "depth_0": 3}}' for i in range(3)],
        ["a", "b", "c"],
        [[-0.043408, 138009728.0, 3.894], [-1.8, 5474432.0, 0.61095], [-2.7, 3120960.0, 0.43791]],
        [
            ObjectiveInfo(names[0], "", "maximize"),
            ObjectiveInfo(names[1], "", "minimize"),
            ObjectiveInfo(names[2], "ms", "minimize"),
        ],
        space="mine",
        attributes=[{**more, "params": 441028, "peak_memory": 442368, f"{names[2]}_p95": 4.1}] * 3,
        provenance={"settings": {"space": "mine", "costs": ["torch:cpu:latency"], "trials": 12}},
    )
    front = replace(front, baseline=Baseline("my_module:present", (-0.96, 16423168.0, 0.724)))
    script = """
      const box = document.querySelector(".scroll");
      const lines = document.querySelector(".plot.wide");
      const words = [...document.querySelectorAll("#command span")];
      return { cut: box.scrollWidth - box.clientWidth,
        axes: [...lines.querySelectorAll(".xtick")].map((tick) => tick.textContent),
        present: lines.querySelectorAll('path.js-line[style*="dash"]').length,
        broken: words.filter((word) => word.getClientRects().length > 1).length,
        command: document.getElementById("command").textContent };
    """
    for answer in look(render_report(front), script, tmp_path, 390, 1400):
        found = answer["found"]
        assert found["cut"] <= 0
        assert found["axes"] == list(names)
        assert found["present"] == 1
        assert found["broken"] == 0
        assert found["command"].startswith("hwnas search --space mine --cost torch:cpu:latency")
    page = Page(render_report(front))
    assert "its p95" in page.text
    assert "its 95 % interval" not in page.text


def test_the_page_says_what_was_searched_and_how() -> None:
    page = Page(render_report(with_everything(), SPACE))
    assert "hwnas search --space nasbench201 --cost a:b:" in page.text
    assert "23.5 GiB" in page.text
    assert "for cifar10" in page.text
    assert "ms, predicted, lower is better" in page.text
    assert " ± 0.98" in page.text  # 1.96 deviations of 0.5
    labels = [a.get("data-label") for a in page.all("td")]
    front = with_everything()
    names = ["#", *(o.name for o in front.objectives), "parameters", "MACs", "memory"]
    assert labels[: len(names) + 1] == [*names, "architecture"]
    assert "diamond" in page.text
    assert "Dashed operations" not in Page(render_report(browsed_live(), SPACE)).text
    assert "crosses" not in page.text


def browsed_live() -> ParetoSet:
    return ParetoSet.from_values([LIVE], ["a"], [[1.0]], INFOS[:1], space=SPACE)


def test_every_cost_shows_what_it_was_measured_on() -> None:
    key = "cpu/onnxruntime-1.32.0[float_operators=Add]/int8/b4/t2"
    costs = [
        {"objective": "cpu_latency_ms", "device": key, "unit": "ms"},
        {"objective": "macs", "device": "no key"},
    ]
    front = ParetoSet.from_values(
        ["a"], ["a"], [[1.0, 1.0]], INFOS[:2], space=SPACE, provenance={"costs": costs}
    )
    page = Page(render_report(front))
    assert "Cost cpu_latency_ms" in page.text
    key = "cpu, ONNX Runtime 1.32.0, with float_operators=Add, int8, batch 4, 2 threads"
    assert key in page.text
    assert "no key" in page.text


def test_an_objective_that_is_an_attribute_too_has_one_column() -> None:
    front = example()
    name = front.objectives[0].name
    twice = [replace(m, attributes={**m.attributes, name: m.values[0]}) for m in front.members]
    other = [replace(m, attributes={**m.attributes, name: m.values[0] + 1}) for m in front.members]
    once = render_report(front).count(f"<span>{name}</span>")
    assert render_report(replace(front, members=tuple(twice))).count(f"<span>{name}</span>") == once
    assert render_report(replace(front, members=tuple(other))).count(f"<span>{name}</span>") > once


def test_measured_costs_have_their_interval_and_predicted_ones_a_deviation() -> None:
    def page_of(**attributes: float) -> str:
        front = ParetoSet.from_values(
            ["a"],
            ["k"],
            [[1.5, 2.0]],
            [ObjectiveInfo("gain", "", "maximize"), ObjectiveInfo("x_ms", "ms", "minimize")],
            space="unknown",
            attributes=[attributes],
        )
        return render_report(front)

    measured = page_of(x_ms_low=1.75, x_ms_high=2.5, x_ms_p95=3.25)
    assert "<small>1.75 to 2.5, p95 3.25</small>" in measured
    assert plot_data(measured)["members"][0]["intervals"] == [None, [1.75, 2.5]]
    assert "predicted, lower is better" not in measured
    predicted = page_of(x_ms_std=0.25)
    assert "2 ± 0.49" in predicted
    assert "ms, predicted, lower is better" in predicted
    verified = page_of(x_ms_std=0.25, x_ms_predicted=1.9)
    assert "2 ± 0.49" not in verified
    assert "ms, lower is better" in verified


def test_headers_are_broken_behind_marks_and_nowhere_else() -> None:
    assert Column("jacob_cov+params").parts == ["jacob_", "cov+", "params"]
    assert Column("architecture").parts == ["architecture"]
    assert Column("expected accuracy").parts == ["expected ", "accuracy"]
    assert "".join(Column("x" * 40 + "_y").parts) == "x" * 40 + "_y"
