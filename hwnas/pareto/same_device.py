"""Whether a measurement is of the device that a front's values belong to.

Keys are compared part by part. What a key leaves open (runtime ``unknown``, no threads, a device
that was given no name) agrees with anything and is told, and so is another version of the same
runtime. Everything else that differs is another device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from hwnas.errors import InvalidValueError
from hwnas.pareto.pareto_set import ParetoSet
from hwnas.typing import DeadOperations, DeviceKey

UNNAMED = frozenset({"mine", "measured", "new device", "any"})
"""Devices of predictors that were given no name."""
_KEY = re.compile(r"(.+?)/(.+)/([^/]+)/b(\d+)(?:/t(\d+))?(?:/(executed|pruned))?")
_RUNTIME = re.compile(r"(?P<name>.+?)(?:-(?P<version>\d[^\[]*))?(?P<options>\[.*\])?")


def parse_key(text: str) -> DeviceKey | None:
    """Read what `str(DeviceKey)` gives; None if it is something else."""
    found = _KEY.fullmatch(text)
    if found is None:
        return None
    device, runtime, precision, batch, threads, dead = found.groups()
    known = None if threads is None else int(threads)
    return DeviceKey(device, runtime, precision, int(batch), known, cast(DeadOperations, dead))


def recorded_cost(provenance: Mapping[str, Any], objective: str) -> Mapping[str, Any]:
    """Find what a front says of an objective's cost; empty if it does not tell."""
    costs = provenance.get("costs")
    for cost in costs if isinstance(costs, list) else ():
        if isinstance(cost, Mapping) and cost.get("objective") == objective:
            return cost
    return {}


def recorded_devices(front: ParetoSet) -> dict[str, str]:
    """Give device, runtime, precision, batch and threads of each cost by its objective's name.

    Counts belong to no device, and costs whose device the front does not record are left out.
    """
    found = {o.name: recorded_cost(front.provenance, o.name) for o in front.objectives}
    keys = {name: str(cost["device"]) for name, cost in found.items() if "device" in cost}
    return {name: key for name, key in keys.items() if not key.startswith("any/")}


def check_front_device(
    front: ParetoSet, objective: str, column: str, got: DeviceKey, fingerprint: str = ""
) -> list[str]:
    """Insist that a measurement is of the device that a front's objective belongs to.

    Args:
        front: the front. Where it does not record the device, the objective's name tells it.
        objective: name of the objective, e.g. ``jetson_latency_ms``.
        column: what was measured, e.g. ``latency_ms``.
        got: what was measured on.
        fingerprint: of the measuring host, where it is known.

    Raises:
        InvalidValueError: it is another device.
    """
    recorded = recorded_cost(front.provenance, objective)
    wanted = parse_key(str(recorded.get("device", "")))
    if wanted is None:
        named = objective.removesuffix(column).removesuffix("_") or "mine"
        wanted = replace(got, device=named, runtime="unknown")
    return check_same_device(
        wanted, got, objective, (str(recorded.get("fingerprint", "")), fingerprint)
    )


def check_same_device(
    wanted: DeviceKey, got: DeviceKey, what: str, fingerprints: tuple[str, str] = ("", "")
) -> list[str]:
    """Insist that two keys are of one device, and say what could not be told.

    Args:
        wanted: what the values belong to.
        got: what was measured.
        what: what the values are, for the error, e.g. an objective's name.
        fingerprints: of the hosts of both, where they are known; the hardware must be equal.

    Raises:
        InvalidValueError: they are of different devices; names what differs.
    """
    hosts = [text.partition(" | ")[0] for text in fingerprints]
    differing = [*_differences(wanted, got)]
    if all(hosts) and hosts[0] != hosts[1]:
        differing.append(f"hardware {hosts[0]!r} and not {hosts[1]!r}")
    if differing:
        raise InvalidValueError(
            f"`{what}` must be measured on its own device, {wanted}, but got {got}: it has "
            f"{', '.join(differing)}. Values of another device are no measurement of it."
        )
    return [*_remarks(wanted, got)]


def _differences(wanted: DeviceKey, got: DeviceKey) -> Iterator[str]:
    a, b = (_RUNTIME.fullmatch(key.runtime) for key in (wanted, got))
    assert a is not None
    assert b is not None
    pairs = {
        "device": (wanted.device, got.device, UNNAMED),
        "runtime": (a["name"], b["name"], {"unknown"}),
        "precision": (wanted.precision, got.precision, ()),
        "batch": (wanted.batch, got.batch, ()),
        "threads": (wanted.threads, got.threads, {None}),
    }
    if "unknown" not in (a["name"], b["name"]):
        pairs["options"] = (a["options"], b["options"], ())
    for name, (one, other, open_) in pairs.items():
        if one != other and one not in open_ and other not in open_:
            yield f"{name} {one or 'none'} and not {other or 'none'}"


def _remarks(wanted: DeviceKey, got: DeviceKey) -> Iterator[str]:
    if wanted.device != got.device:
        yield f"Nothing tells whether {wanted.device!r} is {got.device!r}: make sure that it is."
    if "unknown" in (wanted.runtime, got.runtime) and wanted.runtime != got.runtime:
        yield f"The runtime of one is not known: {wanted.runtime} and {got.runtime} are compared."
    elif wanted.runtime != got.runtime:
        yield f"{wanted.runtime} and {got.runtime} are different versions."
