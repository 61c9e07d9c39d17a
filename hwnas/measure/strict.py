"""Strict measurements: long, in fresh processes, and only while the machine is cool."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.measure.machine_state import MachineState, machine_state
from hwnas.measure.measurement import Measurement
from hwnas.measure.rounds import Length

STRICT = Length(180.0, target=0.01, least_runs=1024, least_seconds=60.0)
"""What each process measures: 1,024 runs and 60 s at least, until the interval is below 1 %."""
PROCESSES = 3
HOT_CELSIUS = 60.0
ABOVE_IDLE = 10.0
_PAUSE_SECONDS = 10.0
_LONGEST_WAIT = 600.0
_MOST_DRIFT = 0.03
_MOST_CLOCK_CHANGE = 0.02


def cool_down(
    idle: MachineState,
    read: Callable[[], MachineState] = machine_state,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Pause for 10 s, and on until the machine is below 60 °C or idle + 10 K, whichever is more.

    Args:
        idle: the state before the first measurement.
        read: gives the present state.
        sleep: waits so many seconds.

    Returns:
        The seconds waited.

    Raises:
        InvalidValueError: it stays hotter for ten minutes.
    """
    most = max(HOT_CELSIUS, (idle.celsius or 0.0) + ABOVE_IDLE)
    waited = 0.0
    while waited < _LONGEST_WAIT:
        sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
        if (now := read().celsius) is None or now <= most:
            return waited
    raise InvalidValueError(
        f"`strict` must find the machine below {most:g} °C, but it stayed at {now:g} °C for "
        f"{waited:g} s: cool it, or measure without it."
    )


def combine(found: Sequence[Measurement]) -> Measurement:
    """Make one measurement of those of several processes.

    Returns:
        That of the median value, with the widest interval of all that have one, their spread
        (largest minus smallest over the median) and the number of processes.
    """
    middle = sorted(found, key=lambda m: m.value)[len(found) // 2]
    values = np.array([m.value for m in found])
    facts = {
        **middle.facts,
        "processes": len(found),
        "process_spread": float((values.max() - values.min()) / middle.value),
    }
    return replace(
        middle,
        ci_low=float(np.fmin.reduce([m.ci_low for m in found])),
        ci_high=float(np.fmax.reduce([m.ci_high for m in found])),
        converged=all(m.converged for m in found),
        seconds=sum(m.seconds for m in found),
        facts=facts,
    )


def differences(found: Measurement) -> list[str]:
    """Say in a line what a combined series that is not strict leaves open; none within 2 %."""
    spread, width = found.facts["process_spread"], (found.ci_high - found.ci_low) / found.value
    if float(spread) > Length.target:
        return [
            f"{found.facts['processes']} processes differ by {100 * float(spread):.1f} %: what "
            f"others leave of the caches changes what a network takes in {found.key.runtime}, and "
            f"a later measurement may be as far off."
        ]
    if not width <= Length.target:
        known = "not known" if np.isnan(width) else f"{100 * width:.1f} % of the value"
        return [f"The 95 % interval is {known}: allow more seconds."]
    return []


def complaints(found: Sequence[Measurement]) -> list[str]:
    """Say what a strict series must not show, a line each; none where it is sound."""
    said = []
    for number, one in enumerate(found, start=1):
        if not one.converged:
            width = (one.ci_high - one.ci_low) / one.value
            share = f"{100 * width:.1f} %"
            said.append(f"process {number}: the interval is {share} of the value, above 1 %.")
        if one.facts.get("settled") is False:
            said.append(f"process {number}: the warm-up never settled.")
        clocks = [one.facts.get(f"clock_{when}_mhz") for when in ("before", "after")]
        before, after = (float(c) if c is not None else 0.0 for c in clocks)
        if before and abs(after - before) > _MOST_CLOCK_CHANGE * before:
            said.append(f"process {number}: the clock went from {before:g} to {after:g} MHz.")
    references = [float(m.facts["reference_ms"]) for m in found if "reference_ms" in m.facts]
    drifts = [abs(b - a) / a for a, b in pairwise(references)]
    if drifts and max(drifts) > _MOST_DRIFT:
        most = f"{100 * max(drifts):.1f} %"
        said.append(f"the reference drifted by {most} between processes, above 3 %.")
    return said
