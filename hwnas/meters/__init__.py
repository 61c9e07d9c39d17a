"""Meters: what is read around a run. A meter is one file and one line in the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import cast

from hwnas import registry
from hwnas.errors import HwnasError, InvalidValueError, unknown_name
from hwnas.meters.base import Meter, Sensor
from hwnas.runtimes.base import Place

AUTO = "auto"
"""The first meter of a metric that sees all of the work."""


def make_meter(name: str) -> Meter:
    """Make a meter by its name.

    Raises:
        UnknownNameError: there is no such meter.
        MissingDependencyError: it needs a package that is not installed.
    """
    return cast(Meter, registry.make("meters", name))


def all_meters() -> list[Meter]:
    """Make every meter, in the order in which they are preferred.

    One that another package has spoilt is left out, lest nothing could be measured: `hwnas doctor`
    tells it, and so does `make_meter`.
    """
    found = []
    for name in registry.names("meters"):
        with contextlib.suppress(HwnasError):
            found.append(make_meter(name))
    return found


def choose_meter(name: str, metric: str, place: Place) -> Meter:
    """Choose what reads a metric.

    Args:
        name: name of a meter, or ``auto``.
        metric: what is measured, e.g. ``latency``.
        place: where the network runs.

    Raises:
        UnknownNameError: no such meter, or none for this metric.
        InvalidValueError: the meter does not see all of the work, or finds nothing to read.
    """
    if name in registry.names("meters"):
        make_meter(name)  # says what is wrong with it
    meters = all_meters()
    fitting = {meter.name: meter for meter in meters if meter.metric == metric}
    if not fitting:
        raise unknown_name("metric", metric, {meter.metric for meter in meters})
    seeing = {n: meter for n, meter in fitting.items() if meter.sees(place)}
    if name == AUTO and seeing:
        return _first_present(metric, seeing, place)
    if name != AUTO and name not in fitting:
        raise unknown_name(f"meter of {metric}", name, [AUTO, *fitting])
    if name not in seeing:
        others = ", ".join(seeing) or "none"
        raise InvalidValueError(
            f"`meter` must see all of the work on {place.resource}, but {name!r} does not: "
            f"{others} of {', '.join(fitting)} can."
        )
    return _first_present(metric, {name: seeing[name]}, place)


def absence(meter: Meter, place: Place) -> str:
    """Say why a meter has nothing to read; empty if it has, as clocks always do."""
    return meter.missing(place) if isinstance(meter, Sensor) else ""


def _first_present(metric: str, seeing: Mapping[str, Meter], place: Place) -> Meter:
    reasons = {}
    for name, meter in seeing.items():
        reasons[name] = absence(meter, place)
        if not reasons[name]:
            return meter
    looked = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise InvalidValueError(
        f"`{metric}` must have a sensor on {place.resource}, but there is none ({looked})."
    )
