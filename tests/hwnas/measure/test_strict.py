"""Strict series: the gate, what is made of several processes, and what is complained of."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from typing import Any

import pytest

from hwnas.errors import InvalidValueError
from hwnas.measure.machine_state import MachineState
from hwnas.measure.measurement import Measurement
from hwnas.measure.strict import STRICT, combine, complaints, cool_down, differences
from hwnas.typing import DeviceKey


def state(celsius: float | None) -> MachineState:
    return MachineState(None, celsius, "")


def measured(value: float, **facts: Any) -> Measurement:
    return Measurement(
        "latency", "ms", value, value, 0.0, value - 0.1, value + 0.1, "cpu", value, value, 2000,
        facts.pop("converged", True), 60.0, DeviceKey("cpu", "ort"), "CPU", "host",
        facts={"reference_ms": 1.0, "settled": True, **facts},
    )  # fmt: skip


def test_strict_is_what_benchmarks_ask_for() -> None:
    assert (STRICT.least_runs, STRICT.least_seconds, STRICT.target) == (1024, 60.0, 0.01)


@pytest.mark.parametrize(
    ("idle", "then", "waited"),
    [
        (None, [None], 10.0),
        (40.0, [60.0], 10.0),
        (40.0, [75.0, 61.0, 60.0], 30.0),
        (55.0, [66.0, 65.0], 20.0),  # idle + 10 K is above 60 °C
    ],
)
def test_a_hot_machine_cools_down_first(
    idle: float | None, then: list[float | None], waited: float
) -> None:
    slept: list[float] = []
    left = list(then)
    assert cool_down(state(idle), lambda: state(left.pop(0)), slept.append) == waited
    assert sum(slept) == waited
    assert not left


def test_a_machine_that_stays_hot_is_no_place_for_it() -> None:
    slept: list[float] = []
    with pytest.raises(InvalidValueError, match="below 60 °C, but it stayed at 80 °C for 600 s"):
        cool_down(state(30.0), lambda: state(80.0), slept.append)
    assert sum(slept) == 600.0


def test_the_median_process_with_the_widest_interval() -> None:
    found = combine([measured(2.2), measured(2.0), measured(2.1)])
    assert found.value == 2.1
    assert (found.ci_low, found.ci_high) == pytest.approx((1.9, 2.3))
    assert found.facts["process_spread"] == pytest.approx(0.2 / 2.1)
    assert (found.facts["processes"], found.seconds, found.converged) == (3, 180.0, True)
    assert not combine([measured(2.0), measured(2.0, converged=False)]).converged


def test_a_process_without_an_interval_leaves_that_of_the_others() -> None:
    without = replace(measured(2.2), ci_low=nan, ci_high=nan)
    for series in ([without, measured(2.0)], [measured(2.0), without]):
        found = combine(series)
        assert (found.ci_low, found.ci_high) == pytest.approx((1.9, 2.1))
    assert isnan(combine([without, without]).ci_low)


def test_what_processes_differ_by_is_told() -> None:
    narrow = [replace(measured(v), ci_low=v - 0.01, ci_high=v + 0.01) for v in (2.0, 2.01, 1.99)]
    assert differences(combine(narrow)) == []
    [told] = differences(combine([measured(2.2), measured(2.0), measured(2.1)]))
    assert told.startswith("3 processes differ by 9.5 %: ")
    [told] = differences(combine([measured(2.0)] * 3))
    assert told == "The 95 % interval is 10.0 % of the value: allow more seconds."
    [told] = differences(combine([replace(measured(2.0), ci_low=nan, ci_high=nan)] * 3))
    assert told == "The 95 % interval is not known: allow more seconds."


def test_complaints_name_the_process() -> None:
    clocks = {"clock_before_mhz": 2000.0, "clock_after_mhz": 2030.0}
    assert complaints([measured(2.0, **clocks)] * 3) == []
    slower = {**clocks, "clock_after_mhz": 1950.0}
    series = [
        measured(2.0),
        measured(2.0, converged=False, settled=False, reference_ms=1.02),
        measured(2.0, reference_ms=1.06, **slower),
    ]
    assert complaints(series) == [
        "process 2: the interval is 10.0 % of the value, above 1 %.",
        "process 2: the warm-up never settled.",
        "process 3: the clock went from 2000 to 1950 MHz.",
        "the reference drifted by 3.9 % between processes, above 3 %.",
    ]
