"""What a repeated measurement says: its median, how sure that is, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from hwnas.measure.warm_up import SHARE, Sample, WarmUp, warm_up
from hwnas.typing import DeviceKey, FloatArray

MIN_RUNS = 20
"""Fewer runs are never called converged: a few equal ones are often luck."""

_CONFIDENCE = 0.95
_RUNS_FOR_P99 = 3000


@dataclass(frozen=True)
class Measurement:
    """What one run of a network takes: the whole batch, on this host.

    Attributes:
        metric: what was measured, e.g. ``latency``.
        unit: unit of all values but the clocks', e.g. ``ms``.
        value: median of the runs by `meter`; beside the reference network that of the times that
            they would take at its nominal speed, see `hwnas.measure.reference`. Quantiles and
            interval are of the same kind.
        p95: 95th percentile.
        iqr: interquartile range.
        ci_low: lower end of the 95 % confidence interval of the median; NaN below 6 runs, where
            there is none.
        ci_high: its upper end.
        meter: name of the meter, e.g. ``cpu`` for the calling thread's CPU clock or ``wall``.
        wall_ms: median by the wall clock.
        cpu_ms: median of the calling thread's CPU time; NaN where other threads or devices work
            for it.
        runs: samples that count; a sample is one run, or as many as fill the meter's window.
        converged: whether the interval became as narrow as was asked for before time was up.
        seconds: time spent, warm-up included.
        key: device, runtime with version, precision, batch and threads.
        hardware: model of the CPU or of the device.
        fingerprint: host and software, as in `hwnas.measure.host.host_fingerprint`.
        relative_error: largest difference of the outputs from PyTorch's as a share of the largest
            output; NaN where there was no torch network, or its outputs are not finite.
        correlation: Pearson correlation of the outputs with PyTorch's; NaN as above, or where they
            are constant.
        facts: what the runtime tells beside the key, by name, e.g. what int8 was calibrated with;
            and beside the reference network the raw median and the ratio.
        versions: versions of the runtime's packages and of Python.
        p90: 90th percentile.
        p99: 99th percentile; NaN below 3,000 runs, where fewer than 30 lie beyond it.
    """

    metric: str
    unit: str
    value: float
    p95: float
    iqr: float
    ci_low: float
    ci_high: float
    meter: str
    wall_ms: float
    cpu_ms: float
    runs: int
    converged: bool
    seconds: float
    key: DeviceKey
    hardware: str
    fingerprint: str
    relative_error: float = math.nan
    correlation: float = math.nan
    facts: Mapping[str, str | float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    p90: float = math.nan
    p99: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON-serialisable values, with units in the names; NaN is None."""
        unit = f"_{self.unit.lower()}" if self.unit else ""
        found: dict[str, Any] = {
            f"{self.metric}{unit}": self.value,
            f"p90{unit}": self.p90,
            f"p95{unit}": self.p95,
            f"p99{unit}": self.p99,
            f"iqr{unit}": self.iqr,
            f"ci_low{unit}": self.ci_low,
            f"ci_high{unit}": self.ci_high,
            "wall_ms": self.wall_ms,
            "cpu_ms": self.cpu_ms,
            "clock": self.meter,
            "runs": self.runs,
            "converged": self.converged,
            "seconds": self.seconds,
            "runtime": self.key.runtime,
            "provider": self.key.device,
            "precision": self.key.precision,
            "threads": self.key.threads,
            "batch": self.key.batch,
            "device": self.hardware,
            "relative_error": self.relative_error,
            "correlation": self.correlation,
            **self.facts,
            "fingerprint": self.fingerprint,
            "versions": dict(self.versions),
        }
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in found.items()}


@dataclass(frozen=True)
class Samples:
    """The samples of one measurement.

    Attributes:
        values: `(r, k)` readings by the `k` meters, for one run; the first meter decided.
        converged: whether its interval became narrow enough.
        seconds: time spent, warm-up included.
        warm: the warm-up; None of windows, whose first one it is.
    """

    values: FloatArray
    converged: bool
    seconds: float
    warm: WarmUp | None = None


@dataclass(frozen=True)
class Summary:
    """What samples say of the value: median, percentiles, interquartile range, interval."""

    value: float
    p90: float
    p95: float
    p99: float
    iqr: float
    ci_low: float
    ci_high: float


def summarise(values: FloatArray) -> Summary:
    """Summarise `(r,)` samples, r >= 1.

    Quantiles are interpolated linearly between order statistics: quantile q of n samples lies
    at position (n - 1) q of the sorted ones, counted from 0 (Hyndman and Fan, 1996, type 7). The
    99th percentile is NaN below 3,000 samples.
    """
    at = np.percentile(values, [25, 50, 75, 90, 95, 99])
    lower, median, upper, p90, p95, p99 = (float(q) for q in at)
    tail = p99 if len(values) >= _RUNS_FOR_P99 else math.nan
    return Summary(median, p90, p95, tail, upper - lower, *median_interval(values))


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

    Example:
        >>> median_interval(np.array([5.0, 1.0, 4.0, 2.0, 6.0, 3.0]))
        (1.0, 6.0)
    """
    from scipy import stats

    n = len(times)
    k = int(stats.binom.ppf((1 - _CONFIDENCE) / 2, n, 0.5)) if n else 0
    if k < 1:
        return math.nan, math.nan
    ordered = np.sort(times)
    return float(ordered[k - 1]), float(ordered[n - k])


def repeat(
    sample: Sample,
    *,
    warmup: int,
    max_seconds: float,
    target: float,
) -> Samples:
    """Repeat a run until its median is known well enough, or time is up.

    The runs before are a warm-up, see `hwnas.measure.warm_up`, for at most a quarter of the time.

    Args:
        sample: runs, and gives what a run took by each of the meters; the first one decides.
        warmup: least number of samples that are not counted.
        max_seconds: time for warm-up and measurement; the sample in progress is finished, and
            there is always one.
        target: width of the 95 % interval as a share of the median at which to stop.

    Returns:
        The counted samples.
    """
    start = perf_counter()
    warm = warm_up(sample, warmup, SHARE * max_seconds)
    values = [sample()]
    converged, check = False, MIN_RUNS
    while not converged and perf_counter() - start < max_seconds:
        values.append(sample())
        if len(values) >= check:
            # Sorting disturbs caches: look again only after a tenth more runs.
            check = len(values) + max(10, len(values) // 10)
            converged = _is_narrow(np.array(values)[:, 0], target)
    return Samples(np.array(values, dtype=np.float64), converged, perf_counter() - start, warm)


def _is_narrow(values: FloatArray, target: float) -> bool:
    low, high = median_interval(values)
    return high - low <= target * float(np.median(values))
