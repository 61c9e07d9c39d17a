from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.costs.counters import CounterCost
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.uncertainty import indistinguishable, notices, with_uncertainty
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import FloatArray

SPACE = NasBench201()
OBJECTIVES = [ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("mine_latency_ms", "ms")]


class Sure(CounterCost[Cell]):
    """A cost whose standard deviation is 0.5 for every architecture."""

    def predict_std(self, archs: Sequence[Cell]) -> FloatArray:
        return np.full(len(archs), 0.5)


def front(latency_ms: list[float]) -> ParetoSet:
    archs = [Cell(("nor_conv_3x3", *("none",) * 4, o)) for o in ("none", "skip_connect")]
    archs += [Cell(("nor_conv_1x1",) * 6)]
    keys = [str(i) for i in range(3)]
    rows = np.column_stack([[3.0, 2.0, 1.0], latency_ms])
    return ParetoSet.from_values(archs, keys, rows, OBJECTIVES, space=SPACE)


def test_values_within_the_spread_of_their_difference() -> None:
    # The difference of two values has the deviation 0.5, so 0.98 is the limit.
    alike = indistinguishable(np.array([1.0, 1.97, 3.0]), np.array([0.3, 0.4, 0.3]))
    assert alike.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_members_carry_deviation_and_neighbours() -> None:
    cost = Sure(SPACE, "params")
    found = with_uncertainty(front([9.0, 8.0, 1.0]), SPACE, {"mine_latency_ms": cost})
    assert [m.attributes["mine_latency_ms_std"] for m in found.members] == [0.5] * 3
    lists = [m.attributes["mine_latency_ms_not_distinguishable"] for m in found.members]
    assert lists == [[2], [1], []]
    assert notices(found) == [
        "mine_latency_ms is predicted: 2 of 3 members are not distinguishable at 95 % from "
        "another member."
    ]


def test_sure_costs_say_nothing() -> None:
    plain = front([9.0, 8.0, 1.0])
    assert with_uncertainty(plain, SPACE, {}) == plain
    assert notices(plain) == []
