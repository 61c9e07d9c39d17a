"""Costs that are measured on this host: any runtime, any meter, one cost model.

Each runtime of the registry is a cost source: ``onnxruntime:cpu:latency``, ``torch:cpu:latency``.
Settings follow: ``onnxruntime:cpu:latency:threads=2,batch=4``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic

import numpy as np

from hwnas.costs.source import CostOption, CostRequest
from hwnas.errors import InvalidValueError
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits, NotSendableError
from hwnas.measure.measurement import Measurement
from hwnas.measure.measuring import check_limits, fingerprint_of, measure
from hwnas.meters import AUTO, all_meters, choose_meter
from hwnas.meters.base import Meter
from hwnas.runtimes import make_runtime
from hwnas.runtimes.base import (
    Place,
    RunSettings,
    Runtime,
    TorchNetwork,
    device_key,
    explicit,
)
from hwnas.runtimes.examples import pinned
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

_FIRST_RUNTIME = "onnxruntime"
_RUN = ("threads", "batch", "precision", "images")
_LIMITS = {"limit_seconds": "seconds", "limit_memory_bytes": "memory_bytes"}


@dataclass(frozen=True)
class RuntimeCost(Generic[Arch]):
    """What a space's networks take on this host, as a cost model.

    The network of the architecture's representative is built with weights from the settings' seed
    and measured; the value is that of the whole batch. Values of equal architectures differ by
    measurement noise alone; an evaluator's cache keeps one of them.

    Attributes:
        space: search space.
        task: what the networks are built for; the space's default if None.
        runtime: name of the runtime.
        metric: what is measured: a meter's metric.
        settings: device, threads, batch, precision and options.
        meter: name of a meter, or ``auto``, as in `hwnas.measure.measuring.measure`.
        max_seconds: time for one network, preparation not included.
        limits: what a measurement may take in a child process; None measures in this one.

    Raises:
        UnknownNameError: no such runtime, device, precision, option, metric or meter.
        InvalidValueError: a setting is out of range, or the meter does not see all of the work.
    """

    space: SearchSpace[Arch]
    task: Task | None = None
    runtime: str = _FIRST_RUNTIME
    metric: str = "latency"
    settings: RunSettings = field(default_factory=RunSettings)
    meter: str = AUTO
    max_seconds: float = 1.0
    limits: Limits | None = None

    direction: ClassVar[Direction] = "minimize"

    def __post_init__(self) -> None:
        """Check the settings, before the first network is built."""
        check_limits(0, self.max_seconds, 1.0)
        object.__setattr__(self, "settings", pinned(explicit(self._runtime, self.settings)))
        choose_meter(self.meter, self.metric, self._place)

    def identity(self) -> dict[str, Any]:
        """State what a value depends on beside the host; see `hwnas.files.identity`."""
        return {
            "space": self.space,
            "task": self._networks.task.settings,
            "runtime": self.runtime,
            "metric": self.metric,
            "settings": self.settings,
            "meter": self.meter,
            "max_seconds": self.max_seconds,
        }

    def __repr__(self) -> str:
        """State every setting; what the first caches hold is found by the words used there."""
        s = self.settings
        built = {"space": self.space, **self._networks.task.settings}
        network = ", ".join(f"{name}={value!r}" for name, value in built.items())
        told = (self.runtime, self.metric, s.precision, s.options, s.images)
        usual = self.limits in (None, Limits())
        if usual and told == ("onnxruntime", "latency", "float32", (), "gaussian"):
            return (
                f"OnnxRuntimeLatency({network}, provider={s.device!r}, threads={s.threads}, "
                f"batch={s.batch}, max_seconds={self.max_seconds}, seed={s.seed}, "
                f"clock={self.meter!r})"
            )
        limits = "" if usual else f", limits={self.limits}"
        images = "" if s.images == "gaussian" else f", images={s.images!r}"
        return (
            f"RuntimeCost({network}, runtime={self.runtime!r}, device={s.device!r}, "
            f"metric={self.metric!r}, meter={self.meter!r}, threads={s.threads}, batch={s.batch}, "
            f"precision={s.precision!r}, options={s.options}, seed={s.seed}, "
            f"max_seconds={self.max_seconds}{images}{limits})"
        )

    @property
    def unit(self) -> str:
        """Unit of the meter."""
        return self._meter.unit

    @property
    def device(self) -> DeviceKey:
        """Device and runtime that the values belong to."""
        return device_key(self._runtime, self.settings)

    @property
    def device_name(self) -> str:
        """Name the device in objectives: what differs from the first runtime's defaults is said.

        E.g. ``cpu``, ``torch_cpu`` or ``cpu_t2_b4``, so that no two costs share a name.
        """
        s = self.settings
        said = [
            (self.runtime, self.runtime != _FIRST_RUNTIME),
            (s.device, True),
            (s.precision, s.precision != self._runtime.precisions[0]),
            (f"t{s.threads}", s.threads != 1),
            (f"b{s.batch}", s.batch != 1),
            (self.meter, self.meter != AUTO),
            *((f"{name}_{value}", True) for name, value in s.options),
            ("images", s.images != "gaussian"),
        ]
        return "_".join(str(part) for part, needed in said if needed)

    @property
    def resource(self) -> str:
        """What two measurements cannot share."""
        return self._place.resource

    @property
    def fingerprint(self) -> str:
        """Hardware and software that the values belong to."""
        return fingerprint_of(self._runtime, self._place)

    def measure(self, arch: Arch) -> Measurement:
        """Build and measure one network.

        Raises:
            InvalidValueError: the network cannot be run, does not give PyTorch's outputs, ran
                otherwise than was asked for, or took more than the limits.
        """
        limits = self.limits
        if getattr(self._runtime, "fragile", False):
            return child_with(limits or Limits()).call(self._measure_here, arch)
        if limits is not None:
            with suppress(NotSendableError):  # a space that no other process can have
                return child_with(limits).call(self._measure_here, arch)
        return self._measure_here(arch)

    def _measure_here(self, arch: Arch) -> Measurement:
        networks = self._networks
        module = networks.network(arch, networks.seed(arch, self.settings.seed))
        found = measure(
            TorchNetwork(module, networks.task.input),
            self._runtime,
            self.settings,
            metric=self.metric,
            meter=self.meter,
            max_seconds=self.max_seconds,
            isolate=False,
        )
        if found.key != self.device:
            raise InvalidValueError(
                f"`settings` must be what runs, {self.device}, but {found.key} ran."
            )
        return found

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Measure `(n,)` architectures one after another; `(n,)` values in `unit`."""
        return np.array([self.measure(arch).value for arch in archs], dtype=np.float64)

    @property
    def _networks(self) -> Networks[Arch]:
        return Networks(self.space, self.task or self.space.default_task)

    @cached_property
    def _runtime(self) -> Runtime:
        return make_runtime(self.runtime)

    @cached_property
    def _place(self) -> Place:
        return self._runtime.place(self.settings)

    @cached_property
    def _meter(self) -> Meter:
        return choose_meter(self.meter, self.metric, self._place)


class RuntimeSource:
    """The source of a runtime's costs: each of its devices by each metric of a meter.

    Args:
        name: name of the runtime.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that a cost's text may carry."""
        own = make_runtime(self._name).options
        return (*_RUN, "meter", "max_seconds", *_LIMITS, *own)

    def options(self) -> list[CostOption]:
        """List devices and metrics, the runtime's first device first."""
        metrics = {meter.metric: meter.unit for meter in reversed(all_meters())}
        return [
            CostOption(device, metric, unit, "minimize")
            for device in make_runtime(self._name).devices()
            for metric, unit in reversed(metrics.items())
        ]

    def make(self, request: CostRequest) -> RuntimeCost[Any]:
        """Make the cost model, by default for one image and one thread, in a child process."""
        given = dict(request.settings)
        seconds = given.pop("max_seconds", RuntimeCost.max_seconds)
        meter = str(given.pop("meter", AUTO))
        limits = {name: given.pop(key) for key, name in _LIMITS.items() if key in given}
        run = {key: given.pop(key) for key in _RUN if key in given}
        return RuntimeCost(
            request.space,
            request.task,
            self._name,
            request.metric or "latency",
            RunSettings(
                device=request.device or make_runtime(self._name).devices()[0],
                options=_as_options(given),
                **run,
            ),
            meter,
            float(seconds) if isinstance(seconds, int) else seconds,
            replace(request.limits or Limits(), **limits),
        )


def _as_options(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in given.items()))
