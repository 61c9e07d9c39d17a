"""Costs that are measured on this host: any runtime, any meter, one cost model.

Each runtime of the registry is a cost source: ``onnxruntime:cpu:latency``, ``torch:cpu:latency``.
Settings follow: ``onnxruntime:cpu:latency:threads=2,batch=4``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic

import numpy as np

from hwnas.costs.source import RAW, CostOption, CostRequest
from hwnas.errors import InvalidValueError
from hwnas.measure.beside_reference import measure_together
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import CallError, Limits, NotSendableError
from hwnas.measure.measurement import Measurement
from hwnas.measure.measuring import check_limits, fingerprint_of, measure
from hwnas.measure.reference import REFERENCE
from hwnas.measure.rounds import Length
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
    written,
)
from hwnas.runtimes.examples import pinned
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

_FIRST_RUNTIME = "onnxruntime"
_RUN = ("threads", "batch", "precision", "images")
_TOGETHER = 8
"""Most networks that take turns: all of them are in memory."""
_SPARE_TIME = 0.1
"""Share of the limit of time that the runs of all may take; their preparation takes longer."""
_SWITCH = {"on": True, "off": False}
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
        reference: time the reference network beside each one, within `max_seconds`, and give
            latencies at its nominal speed, a runtime that times itself before and after it; other
            metrics have none.

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
    reference: bool = True

    direction: ClassVar[Direction] = "minimize"

    def __post_init__(self) -> None:
        """Check the settings, before the first network is built."""
        check_limits(0, self.max_seconds, 1.0)
        object.__setattr__(self, "settings", pinned(explicit(self._runtime, self.settings)))
        choose_meter(self.meter, self.metric, self._place)
        if not isinstance(self.reference, bool):
            raise InvalidValueError(f"`reference` must be on or off, but got {self.reference!r}.")
        object.__setattr__(self, "reference", self.reference and self.metric == "latency")

    def identity(self) -> dict[str, Any]:
        """State what a value depends on beside the host; see `hwnas.files.identity`."""
        return {
            "space": self.space,
            "task": self._networks.task.settings,
            "runtime": self.runtime,
            "metric": self.metric,
            "settings": self.settings,
            "meter": self._clock,
            "max_seconds": self.max_seconds,
            # Before there was a reference, values were raw: they are found as such.
            **({"reference": REFERENCE} if self.reference else {}),
            **({"written": self._written} if self._written else {}),
        }

    def __repr__(self) -> str:
        """State every setting; what the first caches hold is found by the words used there."""
        s = self.settings
        built = {"space": self.space, **self._networks.task.settings}
        network = ", ".join(f"{name}={value!r}" for name, value in built.items())
        told = (self.runtime, self.metric, s.precision, s.options, s.images)
        usual = self.limits in (None, Limits())
        if (
            usual
            and not self.reference
            and told == ("onnxruntime", "latency", "float32", (), "gaussian")
        ):
            return (
                f"OnnxRuntimeLatency({network}, provider={s.device!r}, threads={s.threads}, "
                f"batch={s.batch}, max_seconds={self.max_seconds}, seed={s.seed}, "
                f"clock={self.meter!r})"
            )
        limits = "" if usual else f", limits={self.limits}"
        images = "" if s.images == "gaussian" else f", images={s.images!r}"
        reference = f", reference={REFERENCE!r}" if self.reference else ""
        reference += f", written={self._written!r}" if self._written else ""
        return (
            f"RuntimeCost({network}, runtime={self.runtime!r}, device={s.device!r}, "
            f"metric={self.metric!r}, meter={self._clock!r}, threads={s.threads}, batch={s.batch}, "
            f"precision={s.precision!r}, options={s.options}, seed={s.seed}, "
            f"max_seconds={self.max_seconds}{images}{reference}{limits})"
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
            ("raw", self.metric == "latency" and not self.reference),
        ]
        return "_".join(str(part) for part, needed in said if needed)

    @property
    def measured_as(self) -> str:
        """What the clock's readings became: two kinds of values are not comparable."""
        kind = f"at the speed of reference {REFERENCE}" if self.reference else RAW
        return f"{kind}, {self._written}" if self._written else kind

    @property
    def _written(self) -> str:
        return written(self._runtime, self.settings)

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
        return self._call(arch)[0]

    def measure_all(self, archs: Sequence[Arch]) -> list[Measurement]:
        """Build and measure networks, several in turn where there is a reference.

        Whoever ends the process or takes too long ends the turn of all: they are then measured
        one after another.

        Raises:
            InvalidValueError: as `measure`, for any of them.
        """
        found: list[Measurement] = []
        for start in range(0, len(archs), self._together):
            part = archs[start : start + self._together]
            try:
                found += self._call(*part)
            except CallError:
                found += [self.measure(arch) for arch in part]
        return found

    @property
    def _together(self) -> int:
        """Networks that take turns: few enough for the time that one may take."""
        if not self.reference or self._times_itself:
            return 1
        most = (self.limits or Limits()).seconds or math.inf
        return max(1, int(min(_TOGETHER, _SPARE_TIME * most / self.max_seconds)))

    def _call(self, *archs: Arch) -> list[Measurement]:
        limits = self.limits
        if getattr(self._runtime, "fragile", False):
            return child_with(limits or Limits()).call(self._measure_here, *archs)
        if limits is not None:
            with suppress(NotSendableError):  # a space that no other process can have
                return child_with(limits).call(self._measure_here, *archs)
        return self._measure_here(*archs)

    def _measure_here(self, *archs: Arch) -> list[Measurement]:
        networks = self._networks
        built = [
            TorchNetwork(
                networks.network(arch, networks.seed(arch, self.settings.seed)),
                networks.task.input,
            )
            for arch in archs
        ]
        if len(built) > 1:
            length = Length(self.max_seconds)
            found = measure_together(built, self._runtime, self.settings, self.meter, length)
        else:
            found = [
                measure(
                    built[0],
                    self._runtime,
                    self.settings,
                    metric=self.metric,
                    meter=self.meter,
                    max_seconds=self.max_seconds,
                    reference=self.reference,
                    isolate=False,
                )
            ]
        for one in found:
            if one.key != self.device:
                raise InvalidValueError(
                    f"`settings` must be what runs, {self.device}, but {one.key} ran."
                )
        return found

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Measure `(n,)` architectures, several in turn; `(n,)` values in `unit`."""
        return np.array([found.value for found in self.measure_all(archs)], dtype=np.float64)

    @property
    def _networks(self) -> Networks[Arch]:
        return Networks(self.space, self.task or self.space.default_task)

    @cached_property
    def _runtime(self) -> Runtime:
        return make_runtime(self.runtime)

    @property
    def _clock(self) -> str:
        """What was asked for, but for events, which `auto` did not mean in older caches."""
        return "events" if self._meter.name == "events" else self.meter

    @property
    def _times_itself(self) -> bool:
        return getattr(self._runtime, "times_itself", False)

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
        return (*_RUN, "meter", "max_seconds", "reference", *_LIMITS, *own)

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
        reference = _SWITCH.get(said := given.pop("reference", "on"), said)
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
            reference,
        )


def _as_options(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in given.items()))
