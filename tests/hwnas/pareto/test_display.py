from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.display import SHOWN
from hwnas.pareto.json_csv import write_csv

OBJECTIVES = [ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("cpu_latency_ms", "ms")]


def front(n: int = 3) -> ParetoSet:
    """Give n members, one dominated, one failed and one infeasible architecture."""
    values = [[i, i] for i in range(n, 0, -1)] + [[0.5, 9.0], [math.nan, 1.0], [99.0, 0.1]]
    archs = [f"<a{i}>" for i in range(n)] + ["worse", "failed", "outside"]
    statuses = ["complete"] * (n + 2) + ["infeasible"]
    return ParetoSet.from_values(
        archs,
        archs,
        values,
        OBJECTIVES,
        space="mine",
        statuses=statuses,  # type: ignore[arg-type]
        attributes=[{"params": i, "score": 1} for i in range(n)] + [{}] * 3,
    )


def test_one_line_says_what_is_there() -> None:
    assert repr(front()) == (
        "<ParetoSet: 3 of 6 evaluated of mine; score ↑ 1 to 3, cpu_latency_ms (ms) ↓ 1 to 3>"
    )
    assert "\n" not in repr(front(50))
    assert len(repr(front(50))) < 120


def test_a_table_has_the_columns_of_the_csv(tmp_path: Path) -> None:
    table = front().to_dataframe()
    assert table.index.tolist() == [1, 2, 3]
    assert table["cpu_latency_ms"].tolist() == [3, 2, 1]
    assert table["attributes.score"].tolist() == [1, 1, 1]
    write_csv(front(), tmp_path / "front.csv")
    with (tmp_path / "front.csv").open() as file:
        assert set(next(csv.reader(file))) == set(table.columns)


def test_attributes_that_repeat_an_objective_are_left_out() -> None:
    rows = [{"score": 2.0, "cpu_latency_ms": 7.0}, {"score": 1.0}]
    made = ParetoSet.from_values(
        "ab", "ab", [[2, 2], [1, 1]], OBJECTIVES, space="mine", attributes=rows
    )
    columns = ["score", "cpu_latency_ms", "architecture", "key", "attributes.cpu_latency_ms"]
    assert made.to_dataframe().columns.tolist() == columns


def test_all_evaluated_are_a_table_too() -> None:
    table = front().to_dataframe(evaluated=True)
    assert table["status"].tolist() == ["complete"] * 4 + ["failed", "infeasible"]
    assert table["on_front"].tolist() == [True] * 3 + [False] * 3
    assert np.isnan(table["score"][4])
    assert ParetoSet("mine", tuple(OBJECTIVES), ()).to_dataframe().empty


def test_a_notebook_shows_the_first_members() -> None:
    html = front(SHOWN + 2)._repr_html_()
    assert html.count("<tr>") == SHOWN + 1
    assert "&lt;a0&gt;" in html
    assert "<a0>" not in html
    assert html.count("★") == 1
    assert "… and 2 more" in html
    assert "more" not in front()._repr_html_()
    assert "<tbody></tbody>" in ParetoSet("mine", tuple(OBJECTIVES), ())._repr_html_()


def test_a_figure_has_a_panel_each_pair_of_objectives() -> None:
    figure = front().plot()
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces) == ["dominated", "infeasible", "Pareto set", "nearest to ideal"]
    # What is paid stands on the x axis.
    assert list(traces["Pareto set"].x) == [3, 2, 1]
    assert figure.layout.xaxis.title.text == "cpu_latency_ms (ms) ↓"
    assert traces["Pareto set"].text[0] == "#1<br>&lt;a0&gt;"
    three = ParetoSet.from_values(
        "ab", "ab", [[1, 2, 3], [3, 2, 1]], [*OBJECTIVES, ObjectiveInfo("macs")], space="mine"
    )
    drawn = three.plot()
    assert len({trace.xaxis for trace in drawn.data}) == 3
    assert sum(bool(trace.showlegend) for trace in drawn.data) == 3
    one = ParetoSet.from_values("ab", "ab", [[1], [2]], OBJECTIVES[:1], space="mine")
    assert one.plot().layout.xaxis.title.text == "order of evaluation"


def test_axes_of_a_figure_say_what_a_cost_was_measured_on() -> None:
    keys = {"cpu_latency_ms": "cpu/onnxruntime-1.32.0/int8/b4/t2", "macs": "any/count/float32/b1"}
    costs = [{"objective": name, "device": key} for name, key in keys.items()]
    made = ParetoSet.from_values(
        "ab", "ab", [[1, 2, 3], [3, 2, 1]], [*OBJECTIVES, ObjectiveInfo("macs")], space="mine",
        provenance={"costs": costs},
    )  # fmt: skip
    drawn = made.plot()
    title = "cpu_latency_ms (ms) ↓<br><sub>cpu/onnxruntime-1.32.0/int8/b4/t2</sub>"
    assert drawn.layout.xaxis.title.text == title
    # A count belongs to no device.
    assert drawn.layout.xaxis2.title.text == "macs ↓"


@pytest.mark.parametrize("n", [0, 1])
def test_small_sets_are_drawn(n: int, tmp_path: Path) -> None:
    small = front(n) if n else ParetoSet("mine", tuple(OBJECTIVES), ())
    small.plot().write_html(tmp_path / "front.html", include_plotlyjs=False)
    assert (tmp_path / "front.html").stat().st_size
