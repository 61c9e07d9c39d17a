"""Warming up: runs that do not count, until two halves of the last ones agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

Sample = Callable[[], Sequence[float]]
"""Runs once, and gives what the run took by each of the meters; the first one decides."""

LEAST_SECONDS = 0.2
SHARE = 0.25
"""Most of a measurement's time that is spent on warming up."""
_AGREE = 0.02
_HALF = 5


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up took.

    Attributes:
        runs: how many.
        settled: whether the halves agreed before time was up.
        run_seconds: shortest time of a run by the clock on the wall; NaN without a run.
    """

    runs: int
    settled: bool
    run_seconds: float

    def facts(self) -> dict[str, str | float]:
        """State it by name."""
        return {"warmup_runs": self.runs, "settled": self.settled}


def warm_up(
    sample: Sample, least: int, most_seconds: float, now: Callable[[], float] = perf_counter
) -> WarmUp:
    """Run at least `least` times and 200 ms, then until two halves agree within 2 %.

    The halves are those of the last half of all runs, ten runs at least; they agree where their
    medians do.

    Args:
        sample: runs once.
        least: fewest runs.
        most_seconds: time after which it ends in any case, the run in progress finished.
        now: clock in seconds.
    """
    values: list[float] = []
    walls: list[float] = []
    start = at = now()
    check = max(least, 2 * _HALF)
    while at - start < most_seconds:
        if len(values) >= check and at - start >= LEAST_SECONDS:
            if halves_agree(values):
                return WarmUp(len(values), True, min(walls))
            check = len(values) + max(1, len(values) // 10)
        values.append(sample()[0])
        begin, at = at, now()
        walls.append(at - begin)
    return WarmUp(len(values), False, min(walls, default=float("nan")))


def halves_agree(values: Sequence[float]) -> bool:
    """Tell whether the medians of two halves of the last half of the values are within 2 %."""
    half = max(_HALF, len(values) // 4)
    before, after = np.median(values[-2 * half : -half]), np.median(values[-half:])
    return bool(abs(after - before) <= _AGREE * before)
