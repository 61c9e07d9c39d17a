"""How far a member's cost may be from its value: by its measurement, or by its prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwnas.pareto.pareto_set import Member
from hwnas.pareto.uncertainty import LEVEL_95

LOW, HIGH, P95 = "_low", "_high", "_p95"
"""What follows an objective's name in attributes: both ends of the 95 % interval of a measured
median, and the 95th percentile of the runs, in the objective's unit."""
_FACTS = {LOW: "ci_low", HIGH: "ci_high", P95: "p95"}


def measured_spread(name: str, facts: Mapping[str, Any]) -> dict[str, float]:
    """Take the attributes of a measured objective from the facts of its measurement.

    Args:
        name: of the objective.
        facts: `Measurement.as_dict`, or nothing.

    Returns:
        What is known; short measurements have no interval.

    Example:
        >>> measured_spread("cpu_latency_ms", {"ci_low_ms": 1.0, "ci_high_ms": None, "runs": 9})
        {'cpu_latency_ms_low': 1.0}
    """
    found = {}
    for suffix, start in _FACTS.items():
        values = [value for key, value in facts.items() if key.startswith(f"{start}_")]
        if values and isinstance(values[0], (int, float)) and math.isfinite(values[0]):
            found[f"{name}{suffix}"] = float(values[0])
    return found


def spread_names(name: str) -> set[str]:
    """Name the attributes of `measured_spread`."""
    return {f"{name}{suffix}" for suffix in _FACTS}


def interval(member: Member, name: str, value: float) -> tuple[float, float] | None:
    """Give the 95 % interval of a member's cost; None where nothing is known.

    Args:
        member: of the front.
        name: of the objective.
        value: the member's.
    """
    low, high, std = (member.attributes.get(f"{name}{end}") for end in (LOW, HIGH, "_std"))
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return float(low), float(high)
    if isinstance(std, (int, float)) and f"{name}_predicted" not in member.attributes:
        return value - LEVEL_95 * std, value + LEVEL_95 * std
    return None
