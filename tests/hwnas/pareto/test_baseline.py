from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.pareto import Baseline, ObjectiveInfo, ParetoSet
from hwnas.pareto.baseline import against, dominating, findings
from hwnas.pareto.verification import verify
from hwnas.reports.report import render_report

SCORE = ObjectiveInfo("score", "", "maximize")
LATENCY = ObjectiveInfo("cpu_latency_ms", "ms")
MACS = ObjectiveInfo("macs")


def front(
    score: float | None, latency: float | None, macs: float | None, name: str = "mine:net"
) -> ParetoSet:
    values = [[5.0, 8.0, 40.0], [4.0, 4.0, 50.0], [3.0, 2.0, 20.0], [1.0, 1.0, 10.0]]
    made = ParetoSet.from_values(
        list("abcd"), list("abcd"), values, [SCORE, LATENCY, MACS], space="s"
    )
    return replace(made, baseline=Baseline(name, (score, latency, macs), {}))


@pytest.mark.parametrize(
    ("objective", "value", "before", "text"),
    [
        (LATENCY, 2.0, 4.2, "2.1× less"),
        (LATENCY, 4.2, 2.0, "2.1× more"),
        (LATENCY, 2.0, 2.001, "equal"),
        (LATENCY, 2.0, None, "–"),
        (LATENCY, 0.0, 2.0, "-2"),
        (MACS, -1.0, 2.0, "-3"),
        (SCORE, 2.5, 2.0, "+0.5"),
        (SCORE, 2.0, 2.0, "equal"),
        (SCORE, -250.0, -200.0, "-50"),
    ],
)
def test_values_are_compared_by_ratio_where_less_is_better(
    objective: ObjectiveInfo, value: float, before: float | None, text: str
) -> None:
    assert against(objective, value, before) == text


def test_the_members_that_gain_most_and_are_no_worse_elsewhere() -> None:
    assert dominating(front(3.0, 8.0, 50.0)) == [1, 2, 3]
    assert [*findings(front(3.0, 8.0, 50.0))] == [
        "#1 has more score than mine:net (5 against 3), and is no worse in cpu_latency_ms, macs.",
        "#3 is 4 times faster than mine:net (2 against 8 ms), and is no worse in score, macs.",
        "#3 has 2.5 times less macs than mine:net (20 against 50), and is no worse in score, "
        "cpu_latency_ms.",
        "3 of 4 members dominate mine:net: #1, #2, #3.",
    ]


def test_equal_is_not_better_and_nothing_may_dominate() -> None:
    assert dominating(front(4.0, 4.0, 50.0)) == []
    assert [*findings(front(9.0, 0.5, 5.0))] == ["No member dominates mine:net."]
    assert [*findings(replace(front(1.0, 1.0, 1.0), baseline=None))] == []


def test_what_is_not_known_is_said_and_left_out() -> None:
    made = front(3.0, None, 50.0)
    assert made.baseline is not None
    told = replace(made, baseline=replace(made.baseline, reasons={"cpu_latency_ms": "no table"}))
    lines = [*findings(told)]
    assert lines[0].endswith("and is no worse in macs.")
    assert not [line for line in lines if "faster" in line]
    assert lines[-2:] == [
        "3 of 4 members dominate mine:net in what is known of it: #1, #2, #3.",
        "mine:net has no cpu_latency_ms: no table",
    ]
    assert dominating(front(None, None, None)) == []


def test_it_stands_in_the_file_and_a_file_without_one_is_read(tmp_path: Path) -> None:
    made = front(3.0, None, 50.0)
    made.save(tmp_path / "front.json")
    assert ParetoSet.load(tmp_path / "front.json") == made
    document = json.loads((tmp_path / "front.json").read_text())
    assert document.pop("baseline") == {
        "name": "mine:net",
        "values": [3.0, None, 50.0],
        "reasons": {},
        "remarks": {},
    }
    (tmp_path / "front.json").write_text(json.dumps(document))
    assert ParetoSet.load(tmp_path / "front.json") == replace(made, baseline=None)


@pytest.mark.parametrize(
    "damage",
    [[1], {"name": "x"}, {"name": 3, "values": [1, 2, 3], "reasons": {}},
     {"name": "x", "values": [1], "reasons": {}}, {"name": "x", "values": "abc", "reasons": {}},
     {"name": "x", "values": [1, 2, 3], "reasons": [2]},
     {"name": "x", "values": [1, 2, 3], "reasons": {}, "remarks": {"score": 1}}],
)  # fmt: skip
def test_a_damaged_one_is_refused(damage: object, tmp_path: Path) -> None:
    front(3.0, 1.0, 50.0).save(tmp_path / "front.json")
    document = json.loads((tmp_path / "front.json").read_text())
    (tmp_path / "front.json").write_text(json.dumps({**document, "baseline": damage}))
    with pytest.raises(HwnasError, match="damaged"):
        ParetoSet.load(tmp_path / "front.json")


def test_what_a_value_is_stands_in_the_file_and_is_said(tmp_path: Path) -> None:
    made = replace(
        front(3.0, None, 50.0), baseline=Baseline("x", (3.0, None, 50.0), {}, {"score": "is rough"})
    )
    made.save(tmp_path / "front.json")
    assert ParetoSet.load(tmp_path / "front.json") == made
    assert [*findings(made)][-1] == "score of x is rough."
    document = json.loads((tmp_path / "front.json").read_text())
    del document["baseline"]["remarks"]  # of a file of earlier
    (tmp_path / "front.json").write_text(json.dumps(document))
    assert ParetoSet.load(tmp_path / "front.json") == front(3.0, None, 50.0, name="x")


def test_it_must_have_a_value_each_objective() -> None:
    with pytest.raises(HwnasError, match="must have 3 entries"):
        replace(front(1.0, 1.0, 1.0), baseline=Baseline("x", (1.0,)))


def test_a_verified_front_keeps_it() -> None:
    made = front(3.0, 8.0, 50.0)
    found = verify(made, "cpu_latency_ms", np.array([9.0, 5.0, 3.0, 2.0]), {})
    assert found.front.baseline == made.baseline


def test_report_figure_and_notebook_show_it() -> None:
    made = front(3.0, 8.0, 50.0, name="<mine>")
    page = render_report(made)
    assert '<h2 id="baseline">Beside &lt;mine&gt;</h2>' in page
    assert "#3 is 4 times faster than &lt;mine&gt;" in page
    assert "2<small>4× less</small></td>" in page
    assert page.count("<tfoot>") == 1
    start = page.index('id="data">') + len('id="data">')
    data = json.loads(page[start : page.index("</script>", start)])
    assert data["baseline"] == {"arch": "<mine>", "values": [3.0, 8.0, 50.0]}
    without = render_report(replace(made, baseline=None))
    assert "<tfoot>" not in without
    assert '"baseline": null' in without
    drawn = [trace for trace in made.plot().data if trace.name == "baseline"]
    assert [(t.x[0], t.y[0]) for t in drawn] == [(8.0, 3.0), (50.0, 3.0), (8.0, 50.0)]
    partly = front(3.0, None, 50.0).plot().data
    assert sum(trace.name == "baseline" for trace in partly) == 1
    assert "baseline: &lt;mine&gt;" in made._repr_html_()
