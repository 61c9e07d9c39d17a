from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.pareto import Evaluated, ObjectiveInfo, ParetoSet
from hwnas.pareto.uncertainty import with_neighbours
from hwnas.pareto.verification import matches, objective_to_verify, verify

NAME, OTHER = "mine_latency_ms", "mine_energy_mj"
OBJECTIVES = (ObjectiveInfo("score", "", "maximize"), ObjectiveInfo(NAME, "ms"))
ORIGIN = {"cost": "stopwatch"}


def predicted_front(**settings: object) -> ParetoSet:
    """Three members a, b, c: the better, the slower; each prediction has the deviation 0.5."""
    front = ParetoSet.from_values(
        ["a", "b", "c", "d"],
        ["ka", "kb", "kc", "kd"],
        [[3.0, 9.0], [2.0, 6.0], [1.0, 2.0], [0.5, 7.0]],
        OBJECTIVES,
        space="Letters()",
        attributes=[{f"{NAME}_std": 0.5}] * 4,
        provenance={"settings": settings},
    )
    return with_neighbours(front, [NAME])


def test_measurements_decide_who_stays() -> None:
    # b turns out slower than a, which scores better: a dominates it.
    found = verify(predicted_front(), NAME, np.array([5.0, 6.5, 2.5]), ORIGIN)
    assert [(m.arch, m.values) for m in found.front.members] == [
        ("a", (3.0, 5.0)),
        ("c", (1.0, 2.5)),
    ]
    assert [c.outcome for c in found.checks] == ["front", "dominated", "front"]
    kept = {f"{NAME}_std": 0.5}
    assert dict(found.front.members[0].attributes) == kept | {f"{NAME}_predicted": 9.0}
    dropped = found.front.provenance["verification"]["dropped"]
    assert [(d["architecture"], d["predicted"], d["measured"]) for d in dropped] == [
        ("b", 6.0, 6.5)
    ]


def test_deviation_and_interval() -> None:
    # 1.96 deviations of 0.5 are 0.98.
    found = verify(predicted_front(), NAME, np.array([9.97, 6.99, 1.0]), ORIGIN)
    assert [c.inside for c in found.checks] == [True, False, False]
    assert [c.deviation for c in found.checks] == pytest.approx([0.97 / 9, 0.165, -0.5])
    report = found.front.provenance["verification"]
    assert (report["inside_95"], report["outside_95"], report["members"]) == (1, 2, 3)
    assert (report["objective"], report["cost"]) == (NAME, "stopwatch")


def test_a_failed_measurement_is_no_member_and_in_no_interval() -> None:
    found = verify(predicted_front(), NAME, np.array([9.0, math.nan, 2.0]), ORIGIN)
    assert [m.arch for m in found.front.members] == ["a", "c"]
    assert (found.checks[1].outcome, found.checks[1].inside) == ("failed", None)
    by_key = {e.key: e for e in found.front.evaluated}
    assert (by_key["kb"].status, by_key["kb"].values) == ("failed", (2.0, None))


@pytest.mark.parametrize("bound", ["latency<=5", f"{NAME}<=5"])
def test_constraints_of_the_search_hold_for_measurements(bound: str) -> None:
    found = verify(
        predicted_front(constraints=["params<=1", bound]), NAME, np.array([5.1, 4.0, 2.0]), ORIGIN
    )
    assert [c.outcome for c in found.checks] == ["infeasible", "front", "front"]
    assert [m.arch for m in found.front.members] == ["b", "c"]


def test_the_rest_of_the_search_is_kept() -> None:
    front = predicted_front()
    found = verify(front, NAME, np.array([5.0, 4.0, 2.0]), ORIGIN).front
    assert [e.values for e in found.evaluated] == [(3.0, 5.0), (2.0, 4.0), (1.0, 2.0), (0.5, 7.0)]
    assert found.evaluated[3] == front.evaluated[3] == Evaluated("d", "kd", (0.5, 7.0), "complete")
    assert found.provenance["evaluated"] == 4


def test_verifying_twice_compares_with_the_prediction() -> None:
    once = verify(predicted_front(), NAME, np.array([8.0, 5.0, 1.0]), ORIGIN).front
    assert objective_to_verify(once, ["latency_ms"]) == NAME
    twice = verify(once, NAME, np.array([8.5, 5.5, 1.5]), ORIGIN)
    assert [c.predicted for c in twice.checks] == [9.0, 6.0, 2.0]
    assert [m.values[1] for m in twice.front.members] == [8.5, 5.5, 1.5]


def test_another_predicted_cost_keeps_its_neighbours() -> None:
    base = predicted_front()
    members = tuple(
        replace(m, values=(*m.values, e), attributes={**m.attributes, f"{OTHER}_std": 0.5})
        for m, e in zip(base.members, (1.0, 9.0, 1.5), strict=True)
    )
    objectives = (*OBJECTIVES, ObjectiveInfo(OTHER, "mJ"))
    front = with_neighbours(ParetoSet(base.space, objectives, members), [NAME, OTHER])
    assert front.members[2].attributes[f"{OTHER}_not_distinguishable"] == [1]
    found = verify(front, NAME, np.array([5.0, 6.0, 2.0]), ORIGIN).front
    assert [m.arch for m in found.members] == ["a", "c"]
    lists = [m.attributes[f"{OTHER}_not_distinguishable"] for m in found.members]
    assert lists == [[2], [1]]
    assert f"{NAME}_not_distinguishable" not in found.members[0].attributes


def test_the_objective_is_found_by_metric_and_unit() -> None:
    assert matches(NAME, "latency_ms")
    assert matches(NAME, NAME)
    assert not matches(NAME, "latency_s")
    assert not matches(NAME, "ms_latency_ms")
    front = predicted_front()
    assert objective_to_verify(front, ["energy_mj", "latency_ms"]) == NAME


@pytest.mark.parametrize(
    ("columns", "wanted", "text"),
    [
        (["latency_s"], None, "convert the unit"),
        (["latency_ms"], "speed", "one of score, mine_latency_ms, but got 'speed'"),
        (["latency_ms"], "score", "measure the same metric"),
    ],
)
def test_other_measurements_are_refused(columns: list[str], wanted: str | None, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        objective_to_verify(predicted_front(), columns, wanted)


def test_a_front_without_predictions_is_measured_anew() -> None:
    front = ParetoSet.from_values(["a"], ["ka"], [[1.0, 2.0]], OBJECTIVES, space="Letters()")
    assert objective_to_verify(front, ["latency_ms"]) == NAME
    with pytest.raises(InvalidValueError, match="measure the same metric"):
        objective_to_verify(front, ["energy_mj"])
    assert objective_to_verify(front, ["latency_ms"], NAME) == NAME
    assert verify(front, NAME, np.array([3.0]), ORIGIN).checks[0].inside is None
