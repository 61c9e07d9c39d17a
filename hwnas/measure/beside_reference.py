"""Latencies beside the reference network: several networks in turn, corrected for drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hwnas.measure.machine_state import machine_state
from hwnas.measure.measurement import Measurement, Samples, Summary, summarise
from hwnas.measure.measuring import (
    conclude,
    fingerprint_of,
    is_main_process,
    meters_for,
    ready,
    sampler,
)
from hwnas.measure.own_times import measure_by_itself
from hwnas.measure.reference import (
    Nominal,
    calibrate,
    nominal,
    open_reference,
    reference_key,
)
from hwnas.measure.rounds import Length, Rounds, take_turns
from hwnas.measure.warm_up import Sample
from hwnas.meters.base import Meter, Read
from hwnas.networks.garbage import without_garbage_collection
from hwnas.runtimes.base import Network, Place, RunSettings, Runtime


@dataclass(frozen=True)
class Beside:
    """The reference network, ready to be timed beside others.

    Attributes:
        sample: runs it once, and gives the meters' readings.
        usual: its nominal time.
        meters: the meter that decides, and the clocks.
        reads: what reads them.
        place: where it runs.
    """

    sample: Sample
    usual: Nominal
    meters: Sequence[Meter]
    reads: Sequence[Read]
    place: Place

    def sampler(self, run: Callable[[], None]) -> Sample:
        """Make a sample of what is timed beside it."""
        return sampler(run, self.reads, 0.0)


@contextmanager
def beside_reference(
    runtime: Runtime, settings: RunSettings, meter: str, keep: bool = False
) -> Iterator[Beside]:
    """Make the reference ready, and find its nominal time where this host has none yet.

    No garbage is collected meanwhile.

    Args:
        runtime: what runs it.
        settings: device, threads, precision and options of what is timed beside it.
        meter: name of a meter of latency, or ``auto``.
        keep: leave it ready for the next time, as children always do.

    Raises:
        InvalidValueError: the runtime cannot run it.
    """
    place = runtime.place(settings)
    meters = meters_for(meter, "latency", place)
    with ExitStack() as stack:
        kept = keep or not is_main_process()
        reference = stack.enter_context(open_reference(runtime, settings, kept))
        reads = [stack.enter_context(meter.open(place)) for meter in meters]
        stack.enter_context(without_garbage_collection())
        sample = sampler(reference.run, reads, 0.0)
        fingerprint = fingerprint_of(runtime, place)
        key = reference_key(reference, runtime, settings)
        usual = nominal(key, meters[0].name, fingerprint, partial(calibrate, sample))
        yield Beside(sample, usual, meters, reads, place)


def measure_together(
    networks: Sequence[Network],
    runtime: Runtime,
    settings: RunSettings,
    meter: str,
    length: Length,
) -> list[Measurement]:
    """Measure networks in turn, each between two bursts of the reference.

    The value is the ratio to the reference times its nominal time: a search compares networks that
    were measured minutes or days apart, and the raw times hold what the machine did meanwhile.
    The facts tell the raw median, the ratio and the reference's own median beside it.

    Args:
        networks: what runs; all of them are in memory at once.
        runtime: what runs them.
        settings: device, threads, batch, precision and options.
        meter: name of a meter of latency, or ``auto``.
        length: of one network's measurement.

    Returns:
        A measurement each, in the given order.

    Raises:
        InvalidValueError: a network or the reference cannot be run, or does not give PyTorch's
            outputs.
    """
    if getattr(runtime, "times_itself", False):
        return measure_by_itself(networks, runtime, settings, meter, length)
    with ExitStack() as stack:
        beside = stack.enter_context(beside_reference(runtime, settings, meter))
        meters, place, usual = beside.meters, beside.place, beside.usual
        made = [
            stack.enter_context(ready(network, runtime, settings, length.max_seconds))
            for network in networks
        ]
        before = machine_state()
        found = take_turns(
            [beside.sampler(executable.run) for executable, _ in made],
            beside.sample,
            usual.seconds,
            length,
        )
        state = {**before.facts("before"), **machine_state().facts("after")}
        return [
            conclude(
                _samples(rounds), corrected(rounds, usual), meters, runtime, place, executable,
                agrees, {**getattr(executable, "facts", {}), **facts(rounds, usual), **state},
            )
            for rounds, (executable, agrees) in zip(found, made, strict=True)
        ]  # fmt: skip


def corrected(rounds: Rounds, usual: Nominal) -> Summary:
    """Give the values at the reference's nominal speed: ratios times its nominal time."""
    found = summarise(usual.value * rounds.ratios.ravel())
    low, high = rounds.interval
    return replace(
        found,
        value=usual.value * rounds.ratio,
        ci_low=usual.value * low,
        ci_high=usual.value * high,
    )


def facts(rounds: Rounds, usual: Nominal) -> Mapping[str, str | float]:
    """State what was seen of network and reference before the correction."""
    return {
        "raw_ms": float(np.median(rounds.values[:, :, 0])),
        "ratio_to_reference": rounds.ratio,
        "reference_ms": float(np.median(rounds.reference)),
        "reference_nominal_ms": usual.value,
        "reference_drift": rounds.drift,
        "rounds": len(rounds.values),
        **rounds.warm.facts(),
    }


def _samples(rounds: Rounds) -> Samples:
    values = rounds.values.reshape(-1, rounds.values.shape[2])
    return Samples(values, rounds.converged, rounds.seconds, rounds.warm)
