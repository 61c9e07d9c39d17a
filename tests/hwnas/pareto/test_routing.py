from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.errors import InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.routing import measured_share, membership, route, straddling
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import DeviceKey, Direction, FloatArray

SPACE = NasBench201()
COST = "mine_latency_ms"
OBJECTIVES = (ObjectiveInfo("score", "", "maximize"), ObjectiveInfo(COST, "ms"))


@dataclass
class Guesses:
    """A predictor of known errors, which counts what it is told."""

    costs: dict[str, float]
    stds: dict[str, float]
    told: list[str] = field(default_factory=list)
    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"
    device: ClassVar[DeviceKey] = DeviceKey("mine")

    def predict(self, archs: Sequence[Any]) -> FloatArray:
        return np.array([self.costs[str(arch)] for arch in archs])

    def predict_std(self, archs: Sequence[Any]) -> FloatArray:
        return np.array([self.stds[str(arch)] for arch in archs])


class Learning(Guesses):
    def observe(self, archs: Sequence[Any], costs: npt.ArrayLike) -> Learning:
        """Know all the others for certain from now on."""
        del costs
        self.told.extend(map(str, archs))
        return replace(self, stds=dict.fromkeys(self.stds, 0.0))


def cells(n: int) -> list[Any]:
    rng, found = np.random.default_rng(0), dict[str, Any]()
    while len(found) < n:
        arch = SPACE.sample(rng)
        if SPACE.is_valid(arch):
            found.setdefault(SPACE.canonical_key(arch), arch)
    return list(found.values())


def front_of(archs: list[Any], scores: Sequence[float], costs: Sequence[float]) -> ParetoSet:
    return ParetoSet.from_values(
        archs,
        [SPACE.canonical_key(arch) for arch in archs],
        np.column_stack([scores, costs]),
        OBJECTIVES,
        space=SPACE,
        statuses=["complete"] * len(archs),
    )


def test_membership_is_the_normal_probability_of_being_cheaper() -> None:
    """Of two equal scores the cheaper one is a member: P(N(0, sqrt 2) < 1) = .760."""
    losses = np.array([[-1.0, 2.0], [-1.0, 3.0], [-2.0, 9.0]])
    rng = np.random.default_rng(0)
    found = np.mean([membership(losses, 1, np.array([1.0, 1.0, 0.0]), rng) for _ in range(20)], 0)
    assert found[0] == pytest.approx(0.760, abs=0.03)
    assert found[0] + found[1] == pytest.approx(1.0)
    assert found[2] == 1.0


def test_what_is_certain_is_not_measured() -> None:
    archs = cells(5)
    costs = [1.0, 5.0, 5.2, 9.0, 30.0]
    #  member whatever the errors; two that may dominate each other; member; dominated for certain
    front = front_of(archs, [1.0, 2.0, 2.0, 3.0, 0.5], costs)
    names = [str(arch) for arch in archs]
    predictor = Guesses(dict(zip(names, costs, strict=True)), dict.fromkeys(names, 0.2))
    asked: list[str] = []

    def measure(wanted: Sequence[Any]) -> FloatArray:
        asked.extend(map(str, wanted))
        return np.array([{names[1]: 5.3, names[2]: 5.1}[str(arch)] for arch in wanted])

    found = route(front, COST, SPACE, predictor, measure, budget=4, origin={"cost": "a bench"})
    assert sorted(asked) == sorted(names[1:3])
    assert (found.measured, found.failed, found.undecided) == (2, 0, 0)
    by_name = {member.arch: member for member in found.front.members}
    assert set(by_name) == {names[0], names[2], names[3]}
    measured = by_name[names[2]]
    assert measured.values[1] == 5.1
    assert measured.attributes[f"{COST}_measured"] is True
    assert measured.attributes[f"{COST}_predicted"] == 5.2
    assert by_name[names[0]].attributes[f"{COST}_measured"] is False
    assert measured_share(found.front, COST) == (1, 3)
    counts = {"budget": 4, "measured": 2, "failed": 0, "undecided": 0}
    said = found.front.provenance["routing"]
    assert said == {"objective": COST, **counts, "cost": "a bench"}
    assert [row.arch for row in found.front.evaluated] == names
    assert found.front.evaluated[1].values[1] == 5.3


def test_the_budget_is_kept_and_the_rest_is_told() -> None:
    archs = cells(6)
    names = [str(arch) for arch in archs]
    costs = dict.fromkeys(names, 5.0)
    front = front_of(archs, [1.0] * 6, [5.0] * 6)
    predictor = Guesses(costs, dict.fromkeys(names, 1.0))
    found = route(front, COST, SPACE, predictor, lambda a: np.full(len(a), 5.0), budget=2)
    assert found.measured == 2
    assert found.undecided > 0
    with pytest.raises(InvalidValueError, match="must be at least 1, but got 0"):
        route(front, COST, SPACE, predictor, lambda a: np.full(len(a), 5.0), budget=0)


def test_a_predictor_that_learns_leaves_less_to_measure() -> None:
    archs = cells(6)
    names = [str(arch) for arch in archs]
    costs = {name: 5.0 + 0.1 * i for i, name in enumerate(names)}
    front = front_of(archs, [1.0] * 6, list(costs.values()))
    predictor = Learning(costs, dict.fromkeys(names, 1.0))

    def measure(wanted: Sequence[Any]) -> FloatArray:
        return np.array([costs[str(arch)] for arch in wanted])

    found = route(front, COST, SPACE, predictor, measure, budget=6)
    assert found.measured == len(predictor.told) == 1
    assert [member.arch for member in found.front.members] == names[:1]


def test_a_failed_measurement_is_no_member_and_is_counted() -> None:
    archs = cells(2)
    names = [str(arch) for arch in archs]
    front = front_of(archs, [1.0, 1.0], [5.0, 5.1])
    predictor = Guesses(dict(zip(names, (5.0, 5.1), strict=True)), dict.fromkeys(names, 1.0))
    found = route(front, COST, SPACE, predictor, lambda a: np.full(len(a), np.nan), budget=1)
    assert (found.measured, found.failed) == (1, 1)
    assert len(found.front.members) == 1
    assert sorted(row.status for row in found.front.evaluated) == ["complete", "failed"]


def test_measurements_keep_the_bounds_of_the_search() -> None:
    archs = cells(3)
    names = [str(arch) for arch in archs]
    bounded = replace(
        front_of(archs, [1.0, 1.0, 2.0], [5.0, 5.1, 5.2]),
        provenance={"settings": {"constraints": ["latency<=6"]}},
    )
    predictor = Guesses(dict(zip(names, (5.0, 5.1, 5.2), strict=True)), dict.fromkeys(names, 1.0))
    found = route(bounded, COST, SPACE, predictor, lambda a: np.full(len(a), 7.0), budget=2)
    assert [row.status for row in found.front.evaluated].count("infeasible") == 2


def test_the_least_certain_comes_first() -> None:
    assert straddling(np.array([1.0, 0.9, 0.5, 0.01, 0.3, 0.0])) == [2, 4, 1, 3]
    assert straddling(np.array([])) == []


def test_what_is_measured_elsewhere_is_known_the_next_time() -> None:
    """The first run asks and ends; the second takes the answers in and asks for no more."""
    archs = cells(5)
    costs = [1.0, 5.0, 5.2, 9.0, 30.0]
    front = front_of(archs, [1.0, 2.0, 2.0, 3.0, 0.5], costs)
    names = [str(arch) for arch in archs]
    predictor = Guesses(dict(zip(names, costs, strict=True)), dict.fromkeys(names, 0.2))
    asked: list[str] = []

    def later(wanted: Sequence[Any]) -> None:
        asked.extend(map(str, wanted))

    first = route(front, COST, SPACE, predictor, later, budget=4, rounds=1)
    assert sorted(asked) == sorted(names[1:3])
    assert (first.measured, first.postponed, first.undecided) == (0, 2, 2)
    assert first.front.provenance["routing"]["postponed"] == 2
    assert [row.values for row in first.front.evaluated] == [row.values for row in front.evaluated]
    asked.clear()
    keys = [SPACE.canonical_key(arch) for arch in archs]
    known = {keys[1]: 5.3, keys[2]: 5.1, "of another search": 1.0}
    second = route(front, COST, SPACE, predictor, later, budget=4, known=known, rounds=1)
    assert asked == []
    assert (second.measured, second.postponed, second.undecided) == (2, 0, 0)
    assert {member.arch for member in second.front.members} == {names[0], names[2], names[3]}


def never(wanted: Sequence[Any]) -> FloatArray:
    raise AssertionError(wanted)


def test_what_is_known_is_learned_from_and_counts_for_the_budget() -> None:
    archs = cells(4)
    names, keys = [str(arch) for arch in archs], [SPACE.canonical_key(arch) for arch in archs]
    front = front_of(archs, [1.0] * 4, [5.0] * 4)
    predictor = Learning(dict.fromkeys(names, 5.0), dict.fromkeys(names, 1.0))
    found = route(front, COST, SPACE, predictor, never, budget=4, known={keys[0]: 4.0})
    assert predictor.told == names[:1]
    assert found.measured == 1
    unsure = Guesses(dict.fromkeys(names, 5.0), dict.fromkeys(names, 1.0))
    known = dict.fromkeys(keys[:3], 5.0)
    found = route(front, COST, SPACE, unsure, never, budget=2, known=known)
    assert (found.measured, found.postponed) == (3, 0)


def test_what_waits_elsewhere_is_what_is_postponed() -> None:
    """A round of three is out: nothing else is asked for, whatever would be chosen next."""
    archs = cells(4)
    names = [str(arch) for arch in archs]
    front = front_of(archs, [1.0] * 4, [5.0] * 4)
    unsure = Guesses(dict.fromkeys(names, 5.0), dict.fromkeys(names, 1.0))
    for rounds in (1, 4):
        found = route(front, COST, SPACE, unsure, never, budget=4, rounds=rounds, waiting=3)
        assert (found.measured, found.postponed, found.undecided) == (0, 3, 4)
        assert found.front.provenance["routing"]["postponed"] == 3
    certain = Guesses(dict.fromkeys(names, 5.0), dict.fromkeys(names, 0.0))
    found = route(front, COST, SPACE, certain, never, budget=4, waiting=3)
    assert (found.postponed, found.undecided) == (3, 0)
