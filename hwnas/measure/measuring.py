"""Measuring one network: any runtime, any meter, one loop.

The meter that decides is read around every run, and the two clocks beside it. With one thread on
the CPU the whole run happens in the calling thread, whose CPU clock is the default there; with
several threads or another device only the wall clock sees all of the work.
"""

from __future__ import annotations

import math
import multiprocessing
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from time import perf_counter

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.measure.host import host, host_fingerprint, package_versions
from hwnas.measure.limits import Limits
from hwnas.measure.measurement import Measurement, Samples, Summary, repeat, summarise
from hwnas.measure.rounds import Length
from hwnas.measure.windows import WIDEST_SPREAD, watch
from hwnas.meters import AUTO, choose_meter
from hwnas.meters.base import Meter, Read
from hwnas.meters.clocks import ThreadClock, WallClock
from hwnas.networks.garbage import without_garbage_collection
from hwnas.runtimes.agreement import Agreement, agreement, compared
from hwnas.runtimes.base import Executable, Network, Place, RunSettings, Runtime, TorchNetwork

# The first run may take this many times `max_seconds`, and this many seconds at least.
_FIRST_SHARE = 10.0
_FIRST_SECONDS = 10.0


def measure(
    network: Network,
    runtime: Runtime,
    settings: RunSettings | None = None,
    *,
    metric: str = "latency",
    meter: str = AUTO,
    warmup: int = 10,
    max_seconds: float = 5.0,
    target: float = 0.02,
    reference: bool = False,
    length: Length | None = None,
    isolate: bool = True,
) -> Measurement:
    """Measure what one run of a network takes on this host.

    The outputs of a torch network are compared with PyTorch's first. Runs are repeated until the
    95 % confidence interval of the median is narrower than `target` times the median, or time is
    up.

    Args:
        network: what runs, on random inputs.
        runtime: what runs it.
        settings: device, threads, batch, precision and options; the defaults if None.
        metric: what is measured: one that a meter has.
        meter: name of a meter of this metric; ``auto`` for the first one that sees all of the
            work, which for latency is ``cpu`` for one thread on the CPU and ``wall`` otherwise.
        warmup: least number of samples before the counted ones.
        max_seconds: time for warm-up and measurement; at least one sample is counted. A meter that
            grows while nothing runs, such as energy, takes about eight of its windows whatever
            this is, see `hwnas.measure.windows`. The first run may take ten times as long, and ten
            seconds at least, where the runtime can stop it.
        target: width of the interval as a share of the median at which to stop.
        reference: time the reference network beside it, within the same seconds, and give the
            latency at its nominal speed, see `hwnas.measure.beside_reference`; of a runtime that
            times itself for a second before and one after them instead; of another metric it says
            nothing.
        length: how long beside the reference, instead of `warmup`, `max_seconds` and `target`.
        isolate: measure in a child process where the runtime may end its process and this is no
            child already.

    Raises:
        UnknownNameError: no such device, option, precision, metric or meter.
        InvalidValueError: a setting is out of range, the network cannot be run, or it does not
            give PyTorch's outputs.
    """
    settings = settings or RunSettings()
    check_limits(warmup, max_seconds, target)
    if isolate and getattr(runtime, "fragile", False) and is_main_process():
        from hwnas.measure.isolation import child_with

        again = partial(
            measure, metric=metric, meter=meter, warmup=warmup, max_seconds=max_seconds,
            target=target, reference=reference, length=length, isolate=False,
        )  # fmt: skip
        return child_with(Limits()).call(again, network, runtime, settings)
    itself = getattr(runtime, "times_itself", False)
    if itself and metric != "latency":
        raise InvalidValueError(
            f"`metric` {metric} must be measured run by run, which the runtime {runtime.name!r} "
            f"does not do: measure its latency."
        )
    if reference and metric == "latency":
        from hwnas.measure.beside_reference import measure_together

        length = length or Length(max_seconds, target, warmup)
        return measure_together([network], runtime, settings, meter, length)[0]
    place = runtime.place(settings)
    meters = meters_for(meter, metric, place)
    with ExitStack() as stack:
        executable, agrees = stack.enter_context(ready(network, runtime, settings, max_seconds))
        reads = [stack.enter_context(m.open(place)) for m in meters]
        stack.enter_context(without_garbage_collection())
        facts: dict[str, str | float] = dict(getattr(executable, "facts", {}))
        if itself:
            samples = own_times(executable, max_seconds, target)
            facts = dict(getattr(executable, "facts", {}))
        elif getattr(meters[0], "grows_idle", False):
            samples, more = _windows(executable.run, reads, meters[0])
            facts |= {**getattr(reads[0], "facts", {}), **more}
        else:
            samples = repeat(
                sampler(executable.run, reads, meters[0].window_seconds),
                warmup=warmup,
                max_seconds=max_seconds,
                target=target,
            )
            facts |= samples.warm.facts() if samples.warm else {}
    return conclude(
        samples, summarise(samples.values[:, 0]), meters, runtime, place, executable, agrees, facts
    )


def conclude(
    samples: Samples,
    found: Summary,
    meters: Sequence[Meter],
    runtime: Runtime,
    place: Place,
    executable: Executable,
    agrees: Agreement,
    facts: Mapping[str, str | float],
) -> Measurement:
    """Put a measurement together."""
    clocks = dict(zip((m.name for m in meters), np.median(samples.values, axis=0), strict=True))
    versions = {**package_versions(runtime.packages), "python": platform.python_version()}
    if agrees.reason:
        facts = {**facts, "compared": f"no, {agrees.reason}"}
    return Measurement(
        metric=meters[0].metric,
        unit=meters[0].unit,
        **asdict(found),
        meter=meters[0].name,
        wall_ms=float(clocks["wall"]),
        cpu_ms=float(clocks["cpu"]) if place.own_thread else math.nan,
        runs=len(samples.values),
        converged=samples.converged,
        seconds=samples.seconds,
        key=executable.key,
        hardware=place.hardware or host().cpu,
        fingerprint=fingerprint_of(runtime, place),
        relative_error=agrees.relative_error,
        correlation=agrees.correlation,
        facts=facts,
        versions={name: version for name, version in versions.items() if version},
    )


@contextmanager
def ready(
    network: Network, runtime: Runtime, settings: RunSettings, max_seconds: float
) -> Iterator[tuple[Executable, Agreement]]:
    """Prepare a network and compare its outputs with PyTorch's."""
    with runtime.prepare(network, settings) as executable:
        with _bounded(executable, max(_FIRST_SECONDS, _FIRST_SHARE * max_seconds)):
            if isinstance(network, TorchNetwork):
                agrees = agreement(executable, network.module)
            elif expected := getattr(executable, "expected", ()):
                agrees = compared(executable, expected)
            else:
                executable.outputs()
                agrees = Agreement(math.nan, math.nan)
        yield executable, agrees


def is_main_process() -> bool:
    """Tell whether this is no child process."""
    return multiprocessing.current_process().name == "MainProcess"


def fingerprint_of(runtime: Runtime, place: Place) -> str:
    """Give a text that changes whenever measurements are no longer comparable."""
    return host_fingerprint(runtime.packages, place.hardware)


def check_limits(warmup: int, max_seconds: float, target: float) -> None:
    """Refuse limits out of range with `InvalidValueError`."""
    if warmup < 0:
        raise InvalidValueError(f"`warmup` must be at least 0, but got {warmup}.")
    for name, number in (("max_seconds", max_seconds), ("target", target)):
        if not isinstance(number, int | float) or not number > 0:
            raise InvalidValueError(f"`{name}` must be above 0, but got {number}.")


def meters_for(name: str, metric: str, place: Place) -> list[Meter]:
    """Give the meter that decides, and the clocks beside it."""
    meter = choose_meter(name, metric, place)
    clocks: list[Meter] = [WallClock(), ThreadClock()]
    return [meter, *(clock for clock in clocks if clock.name != meter.name)]


def own_times(executable: Executable, max_seconds: float, target: float) -> Samples:
    """Take the times that the runtime itself tells; the thread's clock has no part in them."""
    start, times = perf_counter(), getattr(executable, "times", None)
    assert times is not None
    latencies = times(max_seconds)
    found = summarise(latencies)
    converged = found.ci_high - found.ci_low <= target * found.value
    values = np.stack([latencies, np.full(len(latencies), np.nan)], axis=1)
    return Samples(values, converged, perf_counter() - start)


def _windows(
    run: Callable[[], None], reads: Sequence[Read], meter: Meter
) -> tuple[Samples, Mapping[str, str | float]]:
    """Measure in windows, however long that takes; give their values and the facts."""
    start = perf_counter()
    found = watch(run, reads, meter.window_seconds, meter.name)
    converged = found.spread <= WIDEST_SPREAD
    samples = Samples(found.values, converged, perf_counter() - start)
    return samples, found.facts(meter.metric, meter.unit)


def sampler(
    run: Callable[[], None], reads: Sequence[Read], window: float
) -> Callable[[], list[float]]:
    """Make a sample: run at least once and for as long as the window; give the mean of a run."""

    def sample() -> list[float]:
        end, runs = perf_counter() + window, 1
        before = [read() for read in reads]
        run()
        while perf_counter() < end:
            run()
            runs += 1
        return [(read() - start) / runs for read, start in zip(reads, before, strict=True)]

    return sample


@contextmanager
def _bounded(executable: Executable, seconds: float) -> Iterator[None]:
    """Stop the first run when its time is up."""
    stop = getattr(executable, "stop", None)
    if stop is None:
        yield
        return
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    start = perf_counter()
    timer.start()
    try:
        yield
    except InvalidValueError as error:
        if perf_counter() - start < seconds:
            raise
        raise InvalidValueError(
            f"`max_seconds` must be enough for the network, but its first run did not end within "
            f"{seconds:g} s: it is endless, or needs a tenth of its time at least."
        ) from error
    finally:
        timer.cancel()
