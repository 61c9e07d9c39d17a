"""Energy of a Jetson module by its power monitors: INA3221 and INA238, from sysfs.

The rail of the whole module counts, never the sum of a rail and its parts. A module reads below
the wall: its carrier board and power supply are not in it. The files are the kernel's hwmon ones
(``in1_label``, and ``power1_input`` in µW or ``in1_input`` in mV times ``curr1_input`` in mA), or
those of NVIDIA's older kernels (``rail_name_0`` and ``in_power0_input`` in mW).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

from hwnas.errors import InvalidValueError
from hwnas.meters.readings import Reading, integrated
from hwnas.runtimes.base import THIS_CPU, Place

DRIVERS = Path("/sys/bus/i2c/drivers")
RAILS = ("VDD_IN", "VIN", "POM_5V_IN")
"""Names of the rail of the whole module."""
SAMPLE_SECONDS = 0.02
_MONITORS = ("ina3221", "ina3221x", "ina238")


class JetsonRail:
    """Energy of the whole module: CPU, GPU, memory and what else is on it."""

    name: ClassVar[str] = "jetson"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 1.0
    grows_idle: ClassVar[bool] = True

    def sees(self, place: Place) -> bool:
        """What runs on the module's CPU or GPU."""
        return place.resource in (THIS_CPU, "gpu0")

    def missing(self, place: Place) -> str:
        """Say why there is nothing to read; empty if there is something."""
        del place
        found = rails()
        if any(rail in found for rail in RAILS):
            return ""
        if found:
            return f"none of {', '.join(RAILS)} is among the rails {', '.join(sorted(found))}"
        return f"no power monitor ({', '.join(_MONITORS)}) with a named rail is in {DRIVERS}"

    @contextmanager
    def open(self, place: Place) -> Iterator[Reading]:
        """Sample the module's rail; `InvalidValueError` if there is none."""
        if reason := self.missing(place):
            raise InvalidValueError(f"`meter` must find the rail of a Jetson, but {reason}.")
        found = rails()
        rail = next(name for name in RAILS if name in found)
        facts = {
            "rail": rail,
            "instrument": "power monitor, trapezoids",
            "sample_rate_hz": f"{1 / SAMPLE_SECONDS:g}",
        }
        with integrated(found[rail], SAMPLE_SECONDS) as read:
            yield Reading(read, facts)


def rails() -> dict[str, Callable[[], float]]:
    """Find the rails of all power monitors: a function that gives mW, by name."""
    found: dict[str, Callable[[], float]] = {}
    for label in _labels():
        name, power = label.read_text().strip(), _power(label)
        if power is not None:
            found[name] = power
    return found


def _labels() -> Iterator[Path]:
    for monitor in _MONITORS:
        for device in sorted((DRIVERS / monitor).glob("*-*")):
            for pattern in ("hwmon/hwmon*/in*_label", "iio:device*/rail_name_*"):
                yield from sorted(device.glob(pattern))


def _power(label: Path) -> Callable[[], float] | None:
    folder = label.parent
    number = re.sub(r"\D", "", label.name)
    milliwatts = folder / f"in_power{number}_input"
    microwatts = folder / f"power{number}_input"
    volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
    if milliwatts.is_file():
        return partial(_number, milliwatts)
    if microwatts.is_file():
        return lambda: _number(microwatts) / 1e3
    if volts.is_file() and amperes.is_file():
        return lambda: _number(volts) * _number(amperes) / 1e3
    return None


def _number(path: Path) -> float:
    return float(path.read_text())
