"""Rounds: networks in turn, each between two bursts of one reference network.

A machine's speed changes from minute to minute: with its clock, its heat and its neighbours. What
the reference takes right before and right after a network says how fast the machine is meanwhile,
and a network's time over the reference's is free of it. Short rounds spread each network over all
of the time, so that no network has the bad minute to itself.

Neighbours also disturb for milliseconds, which no reference beside it sees. So a round counts by
its fastest run, as the reference's bursts do, and the value is the median over rounds.
`benchmarks/latency/repeatability.py` prints what each of the two is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from hwnas.measure.measurement import MIN_RUNS, median_interval
from hwnas.measure.warm_up import SHARE, Sample, WarmUp, warm_up
from hwnas.typing import FloatArray

BURST_SECONDS = 0.02
"""Length of a network's turn."""
REFERENCE_SECONDS = 0.006
"""Length of the reference's turn: with one at each end it takes about a quarter of the time."""
_LEAST_ROUNDS = 6
"""Below there is no interval of a median."""


@dataclass(frozen=True)
class Length:
    """How long a measurement takes.

    Attributes:
        max_seconds: time for one network, warm-up and reference included; the round in progress is
            finished, and there is always one.
        target: width of the 95 % interval as a share of the median at which to stop.
        warmup: fewest runs that do not count.
        least_runs: fewest runs that count, as long as there is time.
        least_seconds: shortest time.
    """

    max_seconds: float
    target: float = 0.02
    warmup: int = 10
    least_runs: int = MIN_RUNS
    least_seconds: float = 0.0


@dataclass(frozen=True)
class Rounds:
    """What one network and the reference took, round by round.

    Attributes:
        values: `(r, k, m)` readings of `k` runs a round by `m` meters; the first meter decided.
        reference: `(r, 2)` the reference's fastest runs by the first meter before and after.
        warm: the warm-up.
        converged: whether the interval of `ratio` became narrow enough.
        seconds: time spent on the network, warm-up and reference included.
    """

    values: FloatArray
    reference: FloatArray
    warm: WarmUp
    converged: bool
    seconds: float

    @property
    def ratios(self) -> FloatArray:
        """`(r, k)` runs over the mean of the reference before and after.

        A speed that changes linearly with time within a round, or only between rounds, is gone.
        """
        return np.asarray(self.values[:, :, 0] / self.reference.mean(axis=1)[:, None])

    @property
    def ratio(self) -> float:
        """Median over rounds of the smallest ratio in a round."""
        return float(np.median(self._fastest))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `ratio`; NaN below 6 rounds.

        It is that of rounds, not of runs: the runs of a round share their reference.
        """
        return median_interval(self._fastest)

    @property
    def drift(self) -> float:
        """How much the reference changed: (p90 - p10) / median over its bursts."""
        low, middle, high = np.percentile(self.reference, [10, 50, 90])
        return float((high - low) / middle)

    @property
    def _fastest(self) -> FloatArray:
        return np.asarray(self.ratios.min(axis=1))


class _Turn:
    """One network's part: its samples so far."""

    def __init__(self, sample: Sample, warm: WarmUp, burst_seconds: float, spent: float) -> None:
        self.sample, self.warm = sample, warm
        self.runs = runs_in(burst_seconds, warm.run_seconds)
        self.values: list[FloatArray] = []
        self.reference: list[tuple[float, float]] = []
        self.converged, self.seconds, self._check = False, spent, _LEAST_ROUNDS

    def add(self, values: FloatArray, before: float, after: float, seconds: float) -> None:
        self.values.append(values)
        self.reference.append((before, after))
        self.seconds += seconds

    def found(self) -> Rounds:
        return Rounds(
            np.array(self.values), np.array(self.reference), self.warm, self.converged, self.seconds
        )

    def is_done(self, length: Length) -> bool:
        if self.seconds >= max(length.max_seconds, length.least_seconds):
            return True
        rounds = len(self.values)
        enough = rounds * self.runs >= length.least_runs and self.seconds >= length.least_seconds
        if rounds < self._check or not enough:
            return False
        self._check = rounds + max(1, rounds // 10)
        found = self.found()
        low, high = found.interval
        self.converged = high - low <= length.target * found.ratio
        return self.converged


def take_turns(
    samples: Sequence[Sample],
    reference: Sample,
    reference_seconds: float,
    length: Length,
    *,
    seed: int = 0,
    now: Callable[[], float] = perf_counter,
) -> list[Rounds]:
    """Measure networks in turn until each is known well enough, or its time is up.

    Args:
        samples: each runs one network once.
        reference: runs the reference once; it is warm.
        reference_seconds: about what one run of the reference takes.
        length: of each network's measurement.
        seed: of the order of the networks, drawn anew each round.
        now: clock in seconds.

    Returns:
        One result a network, in the given order.
    """
    burst = min(BURST_SECONDS, length.max_seconds / 20)
    times = runs_in(min(REFERENCE_SECONDS, burst / 3), reference_seconds)
    turns = []
    for sample in samples:
        start = now()
        warm = warm_up(sample, length.warmup, SHARE * length.max_seconds, now)
        turns.append(_Turn(sample, warm, burst, now() - start))
    rng = np.random.default_rng(seed)
    still = list(turns)
    before = fastest(reference, times)
    while still:
        for place in rng.permutation(len(still)):
            turn, start = still[place], now()
            values = take_burst(turn.sample, turn.runs)
            after = fastest(reference, times)
            turn.add(values, before, after, now() - start)
            before = after
        still = [turn for turn in still if not turn.is_done(length)]
    return [turn.found() for turn in turns]


def runs_in(seconds: float, run_seconds: float) -> int:
    """Say how many runs fill a burst; one if that is not known."""
    return max(1, round(seconds / run_seconds)) if run_seconds > 0 else 1


def take_burst(sample: Sample, runs: int) -> FloatArray:
    """Run so many times; `(k, m)` readings.

    The run before, which finds other networks' data in the caches, does not count; a network of
    one run a burst is too large for that to matter.
    """
    if runs > 1:
        sample()
    return np.array([sample() for _ in range(runs)], dtype=np.float64)


def fastest(sample: Sample, runs: int) -> float:
    """Run a burst; give its smallest reading by the first meter."""
    return float(take_burst(sample, runs)[:, 0].min())
