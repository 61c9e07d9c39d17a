"""Latencies that a runtime's own program measures, beside the reference network.

Each timing starts the program anew and takes a second at least, so that there are no rounds: the
reference is timed for a second before a network and a second after it, beside the network's time.
To make it ready may take minutes, so that it is left so for the next network of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter

import numpy as np

from hwnas.measure.machine_state import machine_state
from hwnas.measure.measurement import Measurement, Samples, summarise
from hwnas.measure.measuring import (
    conclude,
    fingerprint_of,
    meters_for,
    own_times,
    ready,
)
from hwnas.measure.reference import Nominal, nominal, open_reference, reference_key
from hwnas.measure.rounds import Length
from hwnas.runtimes.base import Executable, Network, RunSettings, Runtime

_REFERENCE_SECONDS = 1.0
"""The shortest that programs measure."""


def measure_by_itself(
    networks: Sequence[Network],
    runtime: Runtime,
    settings: RunSettings,
    meter: str,
    length: Length,
) -> list[Measurement]:
    """Measure networks one after another, each between two timings of the reference.

    The value is the median over the mean of the reference's two medians, times its nominal time.
    The facts tell the raw median, the ratio, and the reference's latency and drift.

    Args:
        networks: what runs.
        runtime: what runs and times it.
        settings: device, batch, precision and options.
        meter: name of a meter of latency, or ``auto``.
        length: time and target of one network, without the two seconds of the reference.

    Returns:
        A measurement each, in the given order.

    Raises:
        InvalidValueError: a network or the reference cannot be run, or does not give PyTorch's
            outputs.
    """
    place = runtime.place(settings)
    meters, fingerprint = meters_for(meter, "latency", place), fingerprint_of(runtime, place)
    found = []
    with open_reference(runtime, settings, keep=True) as reference:
        key = reference_key(reference, runtime, settings)
        usual = nominal(key, meters[0].name, fingerprint, partial(_first, reference))
        for network in networks:
            with ready(network, runtime, settings, length.max_seconds) as (executable, agrees):
                state, start = machine_state(), perf_counter()
                before = _median(reference)
                samples = own_times(executable, length.max_seconds, length.target)
                told = _facts(samples, before, _median(reference), usual)
                told |= {**state.facts("before"), **machine_state().facts("after")}
                told |= getattr(executable, "facts", {})
                samples = Samples(samples.values, samples.converged, perf_counter() - start)
                at_nominal = samples.values[:, 0] * usual.value / float(told["reference_ms"])
                summary = summarise(at_nominal)
                found.append(
                    conclude(samples, summary, meters, runtime, place, executable, agrees, told)
                )
    return found


def _median(reference: Executable) -> float:
    """Time the reference once, ms."""
    return float(np.median(own_times(reference, _REFERENCE_SECONDS, 1.0).values[:, 0]))


def _first(reference: Executable) -> Nominal:
    value = _median(reference)
    return Nominal(value, value / 1e3)


def _facts(samples: Samples, before: float, after: float, usual: Nominal) -> dict[str, str | float]:
    raw, beside = float(np.median(samples.values[:, 0])), (before + after) / 2
    return {
        "raw_ms": raw,
        "ratio_to_reference": raw / beside,
        "reference_ms": beside,
        "reference_nominal_ms": usual.value,
        "reference_drift": abs(after - before) / beside,
    }
