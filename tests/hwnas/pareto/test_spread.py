"""Intervals of measured and of predicted costs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hwnas.pareto.pareto_set import Member
from hwnas.pareto.spread import interval, measured_spread


def member(**attributes: Any) -> Member:
    return Member("a", "k", (2.0,), attributes)


def test_a_measurement_gives_its_interval_and_its_95th_percentile() -> None:
    facts = {"latency_ms": 2.0, "ci_low_ms": 1.5, "ci_high_ms": 2.5, "p95_ms": 4.0, "runs": 9}
    known = measured_spread("x_ms", facts)
    assert known == {"x_ms_low": 1.5, "x_ms_high": 2.5, "x_ms_p95": 4.0}
    assert interval(member(**known), "x_ms", 2.0) == (1.5, 2.5)


@pytest.mark.parametrize("facts", [{}, {"ci_low_ms": None}, {"p95_ms": math.nan}, {"p95": 1.0}])
def test_what_is_not_known_is_left_out(facts: dict[str, Any]) -> None:
    assert measured_spread("x_ms", facts) == {}
    assert interval(member(), "x_ms", 2.0) is None


def test_a_prediction_has_1_96_deviations_on_either_side() -> None:
    low, high = interval(member(x_ms_std=0.5), "x_ms", 2.0) or (0.0, 0.0)
    assert (low, high) == pytest.approx((2 - 0.98, 2 + 0.98))


def test_a_measured_value_has_not_its_predictions_deviation() -> None:
    assert interval(member(x_ms_std=0.5, x_ms_predicted=1.8), "x_ms", 2.0) is None
