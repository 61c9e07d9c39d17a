"""Energy of the host's CPU by RAPL, from the kernel's powercap tree.

A package zone counts µJ and wraps around at `max_energy_range_uj`. Packages of all sockets are
added, and the DRAM of each where it has a counter of its own, which is no part of its package. The
zone of the whole platform (``psys``) and doubles of packages (``intel-rapl-mmio``) are not.

Kernel documentation: Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

from hwnas.errors import InvalidValueError
from hwnas.meters.readings import Counter, Reading
from hwnas.runtimes.base import THIS_CPU, Place

POWERCAP = Path("/sys/class/powercap")
_UJ = 1e-3  # mJ


class Rapl:
    """Energy of all CPU packages, and of their DRAM where that is counted."""

    name: ClassVar[str] = "rapl"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 1.0
    grows_idle: ClassVar[bool] = True

    def sees(self, place: Place) -> bool:
        """What runs on the host's CPU, beside everything else that does."""
        return place.resource == THIS_CPU

    def missing(self, place: Place) -> str:
        """Say why there is nothing to read; empty if there is something."""
        del place
        zones = _zones()
        if not zones:
            return f"no package-* zone is in {POWERCAP}"
        try:
            _read(zones[0] / "energy_uj")
        except OSError as error:
            return f"{zones[0] / 'energy_uj'} cannot be read ({error.strerror}): it needs root"
        return ""

    @contextmanager
    def open(self, place: Place) -> Iterator[Reading]:
        """Read all counters; `InvalidValueError` if there are none or they cannot be read."""
        if reason := self.missing(place):
            raise InvalidValueError(f"`meter` must find RAPL's counters, but {reason}.")
        zones = _zones()
        counters = [
            Counter(partial(_read, zone / "energy_uj"), _UJ, _read(zone / "max_energy_range_uj"))
            for zone in zones
        ]
        rail = "+".join(_name(zone) for zone in zones)
        facts = {"rail": rail, "instrument": "RAPL energy counter"}
        yield Reading(lambda: sum(counter() for counter in counters), facts)


def _zones() -> list[Path]:
    packages = [p for p in sorted(POWERCAP.glob("intel-rapl:*")) if _name(p).startswith("package")]
    # A zone's own folder holds its parts; the tree lists them beside it as well.
    drams = [part for p in packages for part in sorted(p.glob("intel-rapl:*:*"))]
    return [*packages, *(part for part in drams if _name(part) == "dram")]


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> int:
    return int(path.read_text())
