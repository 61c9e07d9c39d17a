"""What a repeated time measurement says: its median, how sure that is, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Literal

import numpy as np
from scipy import stats

from hwnas.typing import FloatArray

Clock = Literal["wall", "cpu"]
MIN_RUNS = 20
"""Fewer runs are never called converged: a few equal ones are often luck."""

_CONFIDENCE = 0.95
_STABLE = 0.05
_WINDOW = 5
_WARMUP_SHARE = 0.25


@dataclass(frozen=True)
class Measurement:
    """The latency of a network on this host; all times in ms for one run of the whole batch.

    Attributes:
        latency_ms: median by `clock`.
        p95_ms: 95th percentile by `clock`.
        iqr_ms: interquartile range by `clock`.
        ci_low_ms: lower end of the 95 % confidence interval of the median by `clock`; NaN below
            6 runs, where there is none.
        ci_high_ms: its upper end.
        wall_ms: median by the wall clock.
        cpu_ms: median of the calling thread's CPU time; NaN where other threads or devices work
            for it.
        clock: ``wall`` or ``cpu``.
        runs: timed runs.
        converged: whether the interval became as narrow as was asked for before time was up.
        seconds: time spent, warm-up included.
        provider: execution provider, e.g. ``cpu``.
        threads: threads inside an operator.
        batch: images a run.
        device: model of the CPU.
        versions: versions of ONNX Runtime and Python.
        fingerprint: the host, as in `hwnas.measure.host.host_fingerprint`.
    """

    latency_ms: float
    p95_ms: float
    iqr_ms: float
    ci_low_ms: float
    ci_high_ms: float
    wall_ms: float
    cpu_ms: float
    clock: Clock
    runs: int
    converged: bool
    seconds: float
    provider: str
    threads: int
    batch: int
    device: str
    fingerprint: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The latency in ms."""
        return self.latency_ms

    def as_dict(self) -> dict[str, Any]:
        """Give all fields as JSON-serialisable values; a missing number is None."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Timings:
    """The runs of one measurement.

    Attributes:
        wall_ms: `(r,)` wall-clock times.
        cpu_ms: `(r,)` CPU times of the calling thread.
        converged: whether the chosen clock's interval became narrow enough.
        seconds: time spent, warm-up included.
    """

    wall_ms: FloatArray
    cpu_ms: FloatArray
    converged: bool
    seconds: float


def median_interval(times: FloatArray) -> tuple[float, float]:
    """Give a 95 % confidence interval of the median that assumes no distribution.

    The k-th smallest and k-th largest of n independent values enclose the median with probability
    1 - 2 P(Binomial(n, 1/2) < k) (David and Nagaraja, Order Statistics, 2003, Section 7.1); k is
    the largest for which that is at least 95 %. Consecutive runs are not quite independent, so
    the true coverage is somewhat lower.

    Args:
        times: `(r,)` values.

    Returns:
        The ends in the values' unit; NaN below 6 values, which cannot give 95 %.
    """
    n = len(times)
    k = int(stats.binom.ppf((1 - _CONFIDENCE) / 2, n, 0.5)) if n else 0
    if k < 1:
        return math.nan, math.nan
    ordered = np.sort(times)
    return float(ordered[k - 1]), float(ordered[n - k])


def repeat(
    run: Callable[[], tuple[float, float]],
    clock: Clock,
    *,
    warmup: int,
    max_seconds: float,
    target: float,
) -> Timings:
    """Repeat a run until its median is known well enough, or time is up.

    The runs before are a warm-up: at least `warmup` of them, then until the median of the last
    five is within 5 % of that of the five before, for at most a quarter of the time.

    Args:
        run: runs once and gives its (wall, CPU) time in ms.
        clock: the clock that decides.
        warmup: least number of runs that are not counted.
        max_seconds: time for warm-up and measurement; the run in progress is finished, and there
            is always one.
        target: width of the 95 % interval as a share of the median at which to stop.

    Returns:
        The counted runs.
    """
    start = perf_counter()
    column = 0 if clock == "wall" else 1
    _warm_up(run, column, warmup, start, max_seconds)
    times = [run()]
    converged, check = False, MIN_RUNS
    while not converged and perf_counter() - start < max_seconds:
        times.append(run())
        if len(times) >= check:
            # Sorting disturbs caches: look again only after a tenth more runs.
            check = len(times) + max(10, len(times) // 10)
            converged = _is_narrow(np.array(times)[:, column], target)
    both = np.array(times, dtype=np.float64)
    return Timings(both[:, 0], both[:, 1], converged, perf_counter() - start)


def _warm_up(
    run: Callable[[], tuple[float, float]],
    column: int,
    least: int,
    start: float,
    max_seconds: float,
) -> None:
    done: list[float] = []
    while perf_counter() - start < _WARMUP_SHARE * max_seconds:
        if len(done) >= max(least, 2 * _WINDOW):
            before = float(np.median(done[-2 * _WINDOW : -_WINDOW]))
            if abs(float(np.median(done[-_WINDOW:])) - before) <= _STABLE * before:
                return
        done.append(run()[column])


def _is_narrow(times: FloatArray, target: float) -> bool:
    low, high = median_interval(times)
    return high - low <= target * float(np.median(times))
