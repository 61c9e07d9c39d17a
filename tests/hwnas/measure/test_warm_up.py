"""Warming up: how long at least, and when it ends, on a clock of its own."""

from __future__ import annotations

import math

import pytest

from hwnas.measure.warm_up import halves_agree, warm_up


class Machine:
    """A clock that only runs advance: run i takes `times[i]` ms, and the last one repeats."""

    def __init__(self, *times: float) -> None:
        self.times, self.done, self.ms = times, 0, 0.0

    def run(self) -> list[float]:
        took = self.times[min(self.done, len(self.times) - 1)]
        self.done += 1
        self.ms += took
        return [took]

    def now(self) -> float:
        return self.ms / 1e3


@pytest.mark.parametrize(
    ("took_ms", "runs"),
    [(50.0, 10), (25.0, 10), (2.0, 100), (0.5, 400)],  # 10 runs and 200 ms, whichever is longer
)
def test_ten_runs_and_200_ms_at_least(took_ms: float, runs: int) -> None:
    machine = Machine(took_ms)
    found = warm_up(machine.run, 10, 60.0, machine.now)
    assert (found.runs, found.settled) == (runs, True)
    assert found.run_seconds == pytest.approx(took_ms / 1e3)
    assert found.facts() == {"warmup_runs": runs, "settled": True}


def test_more_runs_than_ten_where_they_are_asked_for() -> None:
    machine = Machine(100.0)
    assert warm_up(machine.run, 17, 60.0, machine.now).runs == 17


def test_it_lasts_until_the_halves_agree() -> None:
    # 40, 39, ..., 21 ms, then 20 ms for ever: the last half is flat at twice as many runs at the
    # latest, and while the whole of it falls the halves differ.
    machine = Machine(*[40.0 - i for i in range(21)])
    found = warm_up(machine.run, 10, 60.0, machine.now)
    assert found.settled
    assert 25 <= found.runs <= 40


def test_one_that_never_settles_ends_with_its_time_and_says_so() -> None:
    growing = Machine(*[1.1**i for i in range(200)])
    found = warm_up(growing.run, 10, 1.0, growing.now)
    assert not found.settled
    assert growing.now() >= 1.0 > growing.now() - 1.1 ** (found.runs - 1) / 1e3
    nothing = warm_up(growing.run, 10, 0.0, growing.now)
    assert (nothing.runs, nothing.settled) == (0, False)
    assert math.isnan(nothing.run_seconds)


def test_halves_agree_within_two_percent() -> None:
    assert halves_agree([100.0] * 5 + [102.0] * 5)
    assert halves_agree([100.0] * 5 + [98.0] * 5)
    assert not halves_agree([100.0] * 5 + [102.1] * 5)
    # Of 40 runs the last 20 count, ten in each half.
    assert halves_agree([7.0] * 20 + [100.0] * 10 + [101.0] * 10)
    assert not halves_agree([7.0] * 20 + [100.0] * 10 + [110.0] * 6 + [100.0] * 4)
    # Medians: one disturbed run in each half is not seen.
    assert halves_agree([100.0] * 4 + [900.0] + [100.0] * 4 + [500.0])
