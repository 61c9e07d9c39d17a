"""Energy of an NVIDIA GPU by NVML: its counter, or its power where it has none.

`nvmlDeviceGetTotalEnergyConsumption` counts mJ since the driver was loaded, on Volta and newer.
Before that power is sampled; NVML averages it over up to a second on some GPUs, so that windows
are longer then. The board is counted, not the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from hwnas.errors import InvalidValueError
from hwnas.meters.readings import Counter, Reading, integrated
from hwnas.runtimes.base import Place

SAMPLE_SECONDS = 0.02


class Nvml:
    """Energy of the GPU that a network runs on."""

    name: ClassVar[str] = "nvml"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 1.0
    grows_idle: ClassVar[bool] = True

    def sees(self, place: Place) -> bool:
        """What runs on an NVIDIA GPU, beside everything else that does."""
        return place.resource.removeprefix("gpu").isdigit()

    def missing(self, place: Place) -> str:
        """Say why there is nothing to read; empty if there is something."""
        if find_spec("pynvml") is None:
            return "NVML's Python package is missing, pip install 'hwnas[energy]'"
        nvml: Any = import_module("pynvml")
        try:
            with _driver(nvml):
                handle = _handle(nvml, place)
                nvml.nvmlDeviceGetPowerUsage(handle)
        except nvml.NVMLError as error:
            return f"NVML says: {error}"
        return ""

    @contextmanager
    def open(self, place: Place) -> Iterator[Reading]:
        """Read counter or power; `InvalidValueError` if the GPU gives neither."""
        if reason := self.missing(place):
            raise InvalidValueError(f"`meter` must find a GPU's energy, but {reason}.")
        nvml: Any = import_module("pynvml")
        with _driver(nvml):
            handle = _handle(nvml, place)
            rail = {"rail": "GPU board"}
            try:
                counter = Counter(partial(nvml.nvmlDeviceGetTotalEnergyConsumption, handle))
            except nvml.NVMLError_NotSupported:
                facts = rail | {
                    "instrument": "NVML power, trapezoids",
                    "sample_rate_hz": f"{1 / SAMPLE_SECONDS:g}",
                }
                with integrated(
                    partial(nvml.nvmlDeviceGetPowerUsage, handle), SAMPLE_SECONDS
                ) as read:
                    yield Reading(read, facts)
            else:
                yield Reading(counter, rail | {"instrument": "NVML energy counter"})


def gpus() -> int:
    """Count the GPUs that NVML lists; `InvalidValueError` where it cannot be asked."""
    nvml: Any = import_module("pynvml")
    with _driver(nvml):
        return int(nvml.nvmlDeviceGetCount())


def _handle(nvml: Any, place: Place) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(int(place.resource.removeprefix("gpu")))


@contextmanager
def _driver(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        nvml.nvmlShutdown()
