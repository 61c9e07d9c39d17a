"""Rounds beside the reference, on machines whose speed changes as a formula says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hwnas.measure.beside_reference import corrected, facts
from hwnas.measure.reference import Nominal
from hwnas.measure.rounds import Length, Rounds, runs_in, take_burst, take_turns
from hwnas.measure.warm_up import WarmUp

REFERENCE_MS = 0.25


class Machine:
    """A clock that only runs advance; a run of `work` ms takes `work * slowness(now)` ms."""

    def __init__(self, slowness: Callable[[float], float]) -> None:
        self.slowness, self.seconds = slowness, 0.0
        self.order: list[float] = []

    def run(self, work: float) -> Callable[[], list[float]]:
        def sample() -> list[float]:
            took = work * self.slowness(self.seconds)
            self.seconds += took / 1e3
            if not self.order or self.order[-1] != work:
                self.order.append(work)
            return [took, 2 * took]

        return sample

    def now(self) -> float:
        return self.seconds

    def turns(self, works: list[float], length: Length, seed: int = 0) -> list[Rounds]:
        return take_turns(
            [self.run(work) for work in works],
            self.run(REFERENCE_MS),
            REFERENCE_MS / 1e3,
            length,
            seed=seed,
            now=self.now,
        )


def steady(t: float) -> float:
    """Give the slowness of a machine that never changes."""
    del t
    return 1.0


def test_a_speed_that_changes_between_rounds_is_removed_exactly() -> None:
    # From 1 s on everything takes 1.7 times as long, for ever: the raw median is nowhere near.
    steps = Machine(lambda t: 1.7 if t > 1.0 else 1.0)
    (found,) = steps.turns([4.0], Length(4.0, least_seconds=4.0))
    assert float(np.median(found.values[:, :, 0])) == pytest.approx(6.8)
    assert found.ratio == pytest.approx(4.0 / REFERENCE_MS, rel=1e-12)
    assert found.drift == pytest.approx(0.7 / 1.7)


def test_a_speed_that_changes_linearly_within_a_round_is_removed_exactly() -> None:
    # One run a burst, the middle of the round between two of the reference, slowness linear in
    # time: m (before + after) / 2 is the reference's time in the middle.
    values = np.array([[[4.0 * (1 + 0.3 * i), 0.0]] for i in range(8)])
    reference = np.array([[1 + 0.3 * i - 0.05, 1 + 0.3 * i + 0.05] for i in range(8)])
    found = Rounds(values, reference, WarmUp(10, True, 0.004), True, 1.0)
    assert found.ratios == pytest.approx(np.full((8, 1), 4.0), rel=1e-12)
    usual = Nominal(0.5, 0.5e-3)
    told = corrected(found, usual)
    assert [told.value, told.ci_low, told.ci_high] == pytest.approx([2.0, 2.0, 2.0])
    assert [told.p95, told.iqr] == pytest.approx([2.0, 0.0], abs=1e-9)
    said = facts(found, usual)
    assert said["raw_ms"] == pytest.approx(4 * (1 + 0.3 * 3.5))
    assert said["reference_ms"] == pytest.approx(1 + 0.3 * 3.5)
    assert said["reference_nominal_ms"] == 0.5
    assert said["ratio_to_reference"] == pytest.approx(4.0)
    assert (said["rounds"], said["warmup_runs"], said["settled"]) == (8, 10, True)


def test_slow_drift_of_a_machine_is_removed() -> None:
    drifting = Machine(lambda t: 1 + 0.1 * t)  # nearly twice as slow in the end
    found = drifting.turns([4.0, 0.5, 9.0], Length(3.0, least_seconds=3.0))
    for rounds, work in zip(found, [4.0, 0.5, 9.0], strict=True):
        assert rounds.ratio == pytest.approx(work / REFERENCE_MS, rel=0.005)
        raw = float(np.median(rounds.values[:, :, 0]))
        assert raw > 1.3 * work


def test_disturbed_runs_do_not_count_but_are_seen_in_the_tail() -> None:
    # Of four runs in a round one is undisturbed; the reference is not disturbed at all.
    values = np.tile(np.array([8.0, 4.0, 6.0, 20.0])[None, :, None], (10, 1, 1))
    found = Rounds(values, np.ones((10, 2)), WarmUp(10, True, 0.004), True, 1.0)
    told = corrected(found, Nominal(1.0, 1e-3))
    assert told.value == 4.0
    # Sorted: ten each of 4, 6, 8, 20 at positions 0 to 39. 90 % lies at 35.1, 75 % at 29.25.
    assert (told.p90, told.p95) == (20.0, 20.0)
    assert told.iqr == pytest.approx((8 + 0.25 * 12) - (4 + 0.75 * 2))
    assert math.isnan(told.p99)


def test_interval_is_that_of_rounds() -> None:
    # Ten rounds of three runs: the table's ranks for n = 10 are 2 and 9, whatever the runs.
    values = np.arange(1.0, 11)[:, None, None] * np.array([1.0, 1.5, 2.0])[None, :, None]
    found = Rounds(values, np.full((10, 2), 2.0), WarmUp(10, True, 0.1), True, 1.0)
    assert (found.ratio, found.interval) == (2.75, (1.0, 4.5))
    few = Rounds(values[:5], np.full((5, 2), 2.0), WarmUp(10, True, 0.1), True, 1.0)
    assert all(math.isnan(end) for end in few.interval)


def test_networks_take_turns_between_bursts_of_the_reference() -> None:
    machine = Machine(steady)
    works = [4.0, 5.0, 6.0]
    found = machine.turns(works, Length(1.0, least_seconds=1.0))
    order = machine.order[3:]  # after the warm-ups
    assert set(order[::2]) == {REFERENCE_MS}
    assert len(order) == 2 * sum(len(one.values) for one in found) + 1
    whole = min(len(one.values) for one in found)
    rounds = [order[i : i + 6 : 2] for i in range(1, 6 * whole, 6)]
    assert all(sorted(one) == works for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1, "the order must change"


def test_time_warm_up_and_reference_included() -> None:
    machine = Machine(lambda t: 1.0 + 0.5 * math.sin(1e4 * t))  # never known exactly
    (found,) = machine.turns([4.0], Length(2.0, target=1e-12))
    assert not found.converged
    assert 2.0 <= found.seconds <= machine.now() < 2.2
    in_reference = 1.0 * found.reference[:, 1].size * 24 * REFERENCE_MS / 1e3
    assert in_reference < 0.3 * found.seconds


def test_stops_when_the_interval_is_narrow_and_there_are_enough_runs() -> None:
    machine = Machine(steady)
    (found,) = machine.turns([4.0], Length(60.0))
    assert found.converged
    assert found.values.shape == (6, 5, 2)  # six rounds of 20 ms
    assert found.seconds == pytest.approx(0.2 + 6 * (0.024 + 25 * REFERENCE_MS / 1e3), rel=0.05)
    (longer,) = machine.turns([4.0], Length(60.0, least_runs=1024, least_seconds=9.0))
    assert longer.values.shape[0] * 5 >= 1024
    assert longer.seconds >= 9.0
    (slow,) = machine.turns([400.0], Length(0.1))
    assert slow.values.shape == (1, 1, 2), "there is always one run"


def test_bursts() -> None:
    assert [runs_in(0.02, t) for t in (0.004, 0.0039, 0.1, math.nan, 0.0)] == [5, 5, 1, 1, 1]
    machine = Machine(steady)
    assert take_burst(machine.run(2.0), 3).shape == (3, 2)
    assert machine.now() == pytest.approx(4 * 2e-3), "the first run does not count"
    take_burst(machine.run(2.0), 1)
    assert machine.now() == pytest.approx(5 * 2e-3)
