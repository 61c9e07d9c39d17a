"""Measuring with a meter that grows while nothing runs, such as the energy of a device.

A counter is renewed now and then: a window is long enough for ten renewals and lasts a second at
least, five of them count, and the device is watched idle before and after for as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.meters.base import Read
from hwnas.typing import FloatArray

WINDOWS = 5
LEAST_RENEWALS = 10
"""Renewals of the reading in a window."""
WIDEST_SPREAD = 0.03
"""Largest coefficient of variation of the windows that is called converged."""
LONGEST_WINDOW = 60.0
_POLL_SECONDS = 0.001


@dataclass(frozen=True)
class Windows:
    """What a run took in each window.

    Attributes:
        values: `(w, k)` readings by the `k` meters, for one run; the first one decided.
        net: `(w,)` first readings without what the device takes idle in the same time.
        idle_per_second: what the first reading grows by in an idle second, before and after.
        seconds: length of a window.
        renewals: how often the first reading was renewed in a window.
        runs: runs in all windows.
    """

    values: FloatArray
    net: FloatArray
    idle_per_second: tuple[float, float]
    seconds: float
    renewals: float
    runs: int

    @property
    def spread(self) -> float:
        """Coefficient of variation of the windows: standard deviation over mean."""
        gross = self.values[:, 0]
        return float(gross.std(ddof=1) / gross.mean())

    def facts(self, metric: str, unit: str) -> Mapping[str, str | float]:
        """State the net value and how it was found, by name."""
        return {
            f"net_{metric}_{unit.lower()}": float(np.median(self.net)),
            "idle_before_mw": self.idle_per_second[0],
            "idle_after_mw": self.idle_per_second[1],
            "windows": len(self.values),
            "window_seconds": self.seconds,
            "renewals_per_window": self.renewals,
            "window_spread": self.spread,
        }


def watch(
    run: Callable[[], None], reads: Sequence[Read], least_seconds: float, name: str
) -> Windows:
    """Run in windows, and watch the device idle before and after.

    Args:
        run: runs the network once.
        reads: the meters' readings, that of energy first.
        least_seconds: shortest window.
        name: name of the first meter, for errors.

    Raises:
        InvalidValueError: the reading is not renewed, or falls.
    """
    before, renewals = _idle(reads[0], least_seconds, name)
    seconds = max(least_seconds, LEAST_RENEWALS * least_seconds / renewals)
    if seconds > LONGEST_WINDOW:
        raise InvalidValueError(
            f"`meter` must be renewed {LEAST_RENEWALS} times in {LONGEST_WINDOW:g} s, but {name} "
            f"was {renewals} times in {least_seconds:g} s: its values would say little."
        )
    _window(run, reads, seconds)  # warms up
    found = [_window(run, reads, seconds) for _ in range(WINDOWS)]
    after, _ = _idle(reads[0], seconds, name)
    totals = np.array([readings for readings, _, _ in found])  # (w, k)
    runs = np.array([n for _, n, _ in found], dtype=np.float64)  # (w,)
    took = np.array([s for _, _, s in found])  # (w,)
    if not (totals[:, 0] > 0).all():
        raise InvalidValueError(
            f"`meter` must grow while the network runs, but {name} did not in {seconds:g} s."
        )
    # net = (E - P_idle T) / runs, with the mean of the idle power before and after
    net = (totals[:, 0] - (before + after) / 2 * took) / runs
    return Windows(
        totals / runs[:, None],
        net,
        (before, after),
        seconds,
        renewals * seconds / least_seconds,
        int(runs.sum()),
    )


def _idle(read: Read, seconds: float, name: str) -> tuple[float, int]:
    """Watch for some seconds; give the growth a second, and how often the reading was renewed."""
    start, first = perf_counter(), read()
    last, renewals = first, 0
    while perf_counter() - start < seconds:
        sleep(_POLL_SECONDS)
        now = read()
        renewals += now != last
        last = now
    if not renewals or not math.isfinite(last) or last < first:
        raise InvalidValueError(
            f"`meter` must be renewed, but {name} stood at {last:g} for {seconds:g} s: the sensor "
            f"does not work, or is not readable here."
        )
    return (last - first) / (perf_counter() - start), renewals


def _window(
    run: Callable[[], None], reads: Sequence[Read], seconds: float
) -> tuple[list[float], int, float]:
    """Run for a window; give what each reading grew by, the runs and the seconds."""
    start, runs = perf_counter(), 0
    before = [read() for read in reads]
    while not runs or perf_counter() - start < seconds:
        run()
        runs += 1
    grown = [read() - at for read, at in zip(reads, before, strict=True)]
    return grown, runs, perf_counter() - start
