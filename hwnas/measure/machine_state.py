"""How fast and how warm the machine is, where Linux tells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")


@dataclass(frozen=True)
class MachineState:
    """Clock and heat at one time.

    Attributes:
        mhz: mean of the present frequencies of the cores that this process may use; None where
            they are not told, as on most virtual machines.
        celsius: the warmest thermal zone; None as above.
        governor: what sets the frequency, e.g. ``performance``; empty as above.
    """

    mhz: float | None
    celsius: float | None
    governor: str

    def facts(self, when: str) -> dict[str, str | float]:
        """State what is known, by name."""
        found: dict[str, str | float | None] = {
            f"clock_{when}_mhz": self.mhz,
            f"temperature_{when}_c": self.celsius,
            f"governor_{when}": self.governor or None,
        }
        return {name: value for name, value in found.items() if value is not None}


def machine_state(root: Path | None = None) -> MachineState:
    """Read the state.

    Args:
        root: the file system of the kernel's objects; that of this machine if None.
    """
    root = root or SYSFS
    cores = [root / f"devices/system/cpu/cpu{n}/cpufreq" for n in sorted(_cores())]
    clocks = [khz for core in cores if (khz := _number(core / "scaling_cur_freq")) is not None]
    zones = sorted((root / "class/thermal").glob("thermal_zone*/temp"))
    heats = [milli for zone in zones if (milli := _number(zone)) is not None]
    governors = sorted({text for core in cores if (text := _text(core / "scaling_governor"))})
    return MachineState(
        sum(clocks) / len(clocks) / 1e3 if clocks else None,
        max(heats) / 1e3 if heats else None,
        "+".join(governors),
    )


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
