"""Energy of an Apple chip, through ``zeus-apple-silicon``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from hwnas.errors import InvalidValueError
from hwnas.meters.readings import Reading
from hwnas.runtimes.base import THIS_CPU, Place

_PARTS = (
    "cpu_total_mj", "dram_mj", "gpu_mj", "gpu_sram_mj", "ane_mj",
)  # fmt: skip


class AppleChip:
    """Energy of CPU, memory, GPU and neural engine together, as far as the chip counts them."""

    name: ClassVar[str] = "apple"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 1.0
    grows_idle: ClassVar[bool] = True

    def sees(self, place: Place) -> bool:
        """What runs on the host's CPU; ONNX Runtime's CoreML stands there too."""
        return place.resource == THIS_CPU

    def missing(self, place: Place) -> str:
        """Say why there is nothing to read; empty if there is something."""
        del place
        if sys.platform != "darwin" or platform.machine() != "arm64":
            return "this is no Apple chip"
        if find_spec("zeus_apple_silicon") is None:
            return "its Python package is missing, pip install 'hwnas[energy]'"
        return ""

    @contextmanager
    def open(self, place: Place) -> Iterator[Reading]:
        """Read the chip's counters; `InvalidValueError` if there are none."""
        if reason := self.missing(place):
            raise InvalidValueError(f"`meter` must find an Apple chip's energy, but {reason}.")
        package: Any = import_module("zeus_apple_silicon")
        monitor = package.AppleEnergyMonitor()
        first = monitor.get_cumulative_energy()
        parts = [name for name in _PARTS if getattr(first, name, None) is not None]
        if not parts:
            raise InvalidValueError("`meter` must find an Apple chip's energy, but it counts none.")

        def read() -> float:
            now = monitor.get_cumulative_energy()
            return float(sum(getattr(now, name) - getattr(first, name) for name in parts))

        rail = "+".join(name.removesuffix("_mj") for name in parts)
        yield Reading(read, {"rail": rail, "instrument": "Apple energy counters"})
