"""The meters that come with hwnas."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hwnas.errors import UnknownNameError
from hwnas.meters import all_meters, choose_meter, make_meter
from hwnas.meters.clocks import ThreadClock, WallClock
from hwnas.runtimes.base import Place
from hwnas.testing import MeterContract

HERE = Place("this-cpu", own_thread=True)


class TestEveryMeter(MeterContract):
    @pytest.fixture(params=["cpu", "wall"])
    def meter(self, request: pytest.FixtureRequest) -> Any:
        return make_meter(request.param)


class TestEventsContract(MeterContract):
    """The counter of a device that is not there: CUDA's own is another."""

    place = Place("gpu0", "Board", clock=lambda: time.perf_counter() * 1e3)

    @pytest.fixture
    def meter(self) -> Any:
        return make_meter("events")


def test_sleep_passes_on_the_wall_and_not_in_the_thread() -> None:
    with WallClock().open(HERE) as wall, ThreadClock().open(HERE) as thread:
        before = wall(), thread()
        time.sleep(0.2)
        passed = wall() - before[0], thread() - before[1]
    assert passed[0] >= 200
    assert passed[1] < 100


def test_work_passes_in_the_thread() -> None:
    with ThreadClock().open(HERE) as thread:
        start, before = time.thread_time(), thread()
        while time.thread_time() - start < 0.05:
            pass
        # The clock of the loop is read first and last: it encloses ours within its own 50 ms.
        assert thread() - before >= 49


def test_the_thread_sees_its_own_work_alone() -> None:
    own, others = Place("this-cpu", own_thread=True), Place("gpu0", "Board")
    assert choose_meter("auto", "latency", own).name == "cpu"
    assert choose_meter("auto", "latency", others).name == "wall"
    assert choose_meter("wall", "latency", own).name == "wall"
    assert {meter.metric for meter in all_meters()} == {"latency", "energy"}
    with pytest.raises(UnknownNameError):
        make_meter("sundial")
