"""Costs that are measured on another machine, by ssh: ``remote:NAME:latency``.

NAME is a machine of the user's file, see `hwnas.bundles.machines`. Each network is a bundle of its
own: copied, run by the bundle's runner, fetched, checked and deleted there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from time import perf_counter
from typing import Any, ClassVar, Generic

import numpy as np

from hwnas.bundles.machines import RUN, Machine, fingerprint, get_machine, machine_names
from hwnas.bundles.results import Row
from hwnas.bundles.writing import write_bundle
from hwnas.costs.source import RAW, CostOption, CostRequest
from hwnas.errors import InvalidValueError
from hwnas.measure.measurement import Measurement
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

_SETTLED = 0.02


@dataclass(frozen=True)
class RemoteCost(Generic[Arch]):
    """What a space's networks take on another machine, as a cost model.

    A value is the median of the ratios to the reference network that is timed beside it, times the
    latter's own latency then: it is corrected for what happens during its own measurement. The
    ratio and the reference's latency stand among its facts.

    Attributes:
        space: search space.
        task: what the networks are built for.
        machine: where they run, and how.
        seconds: longest time for one network; None for ten minutes and one more.
    """

    space: SearchSpace[Arch]
    task: Task
    machine: Machine
    seconds: float | None = field(default=None, repr=False)

    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"

    def identity(self) -> dict[str, Any]:
        """State what a value depends on beside the machine; see `hwnas.files.identity`."""
        # Before, a round counted by the median of its runs.
        settings = {"task": self.task.settings, "run": self._run, "round": "fastest run"}
        return {"space": self.space, **settings}

    def __repr__(self) -> str:
        """State every setting; how the machine is reached is none."""
        run = ", ".join(f"{name}={value!r}" for name, value in self._run.items())
        return f"RemoteCost({self.space!r}, {self.task.settings}, {self.machine.name!r}, {run})"

    @property
    def resource(self) -> str:
        """What two measurements cannot share."""
        return self.machine.resource

    @property
    def device(self) -> DeviceKey:
        """Device and runtime that the values belong to; the machine is asked once."""
        return self.machine.key(self._hardware)

    @property
    def device_name(self) -> str:
        """Name the machine in objectives, with what differs from the usual run."""
        run = self.machine.settings
        provider = run.provider.removesuffix("ExecutionProvider").lower()
        said = [
            (self.machine.name, True),
            (run.runtime, run.runtime != "onnxruntime"),
            (provider, provider != "cpu" and run.runtime == "onnxruntime"),
            (run.precision, run.precision != "float32"),
            (f"t{run.threads}", run.threads != 1),
            (f"b{run.batch}", run.batch != 1),
        ]
        return "_".join(text for text, needed in said if needed)

    @property
    def measured_as(self) -> str:
        """Say what two values that are not comparable differ in, as `RuntimeCost` does.

        The reference takes as long as it does then, so that values are raw.
        """
        return f"{RAW}, unsigned activations" if self._unsigned else RAW

    @property
    def fingerprint(self) -> str:
        """Hardware and software that the values belong to."""
        return fingerprint(self._hardware)

    def measure(self, arch: Arch) -> Measurement:
        """Measure one network there.

        Raises:
            LostError: the machine cannot be reached.
            FarError: its runner fails.
            InvalidValueError: the network cannot be exported or run, or another machine answers.
            DataFormatError: what comes back is no result of it.
        """
        start = perf_counter()
        networks, run = Networks(self.space, self.task), self.machine.settings
        write = partial(write_bundle, networks=networks, archs=[arch], settings=run)
        (row,) = self.machine.run(write, self._hardware, self.seconds)
        if row.reason:
            raise InvalidValueError(f"`arch` must run on {self.machine.name}: {row.reason}.")
        return self._measurement(row, perf_counter() - start)

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Measure `(n,)` architectures one after another; `(n,)` latencies in ms."""
        return np.array([self.measure(arch).value for arch in archs], dtype=np.float64)

    def _measurement(self, row: Row, seconds: float) -> Measurement:
        raw, low, high = row.raw, row.ci_low_ms, row.ci_high_ms
        return Measurement(
            self.metric,
            self.unit,
            row.latency_ms,
            math.nan if raw["p95"] is None else raw["p95"],
            raw["iqr"],
            low,
            high,
            "wall",
            raw["median"],
            math.nan,
            raw["n"],
            high - low <= _SETTLED * row.latency_ms,
            seconds,
            self.device,
            self._hardware["model"],
            self.fingerprint,
            raw["relative_error"],
            raw["correlation"],
            {"ratio": row.ratio, "reference_ms": row.reference_ms},
            {name: self._hardware[name] for name in ("python", "numpy")},
        )

    @property
    def _run(self) -> dict[str, Any]:
        found = asdict(self.machine.settings)
        if self._unsigned:
            # Before, they were signed, which took longer.
            found["activations"] = "unsigned"
        # Before there were other runtimes it was not said.
        return {k: v for k, v in found.items() if (k, v) != ("runtime", "onnxruntime")}

    @property
    def _unsigned(self) -> bool:
        settings = self.machine.settings
        return settings.precision == "int8" and settings.activations == "unsigned"

    @cached_property
    def _hardware(self) -> dict[str, Any]:
        return self.machine.far.device(self.machine.settings)


class RemoteSource:
    """The source of costs on the user's machines."""

    settings: ClassVar[tuple[str, ...]] = tuple(RUN)

    def options(self) -> list[CostOption]:
        """List the machines of the user's file."""
        return [CostOption(name, "latency", "ms", "minimize") for name in machine_names()]

    def make(self, request: CostRequest) -> RemoteCost[Any]:
        """Make the cost model; nothing is sent before it is asked for something."""
        assert request.device is not None
        machine = get_machine(request.device, **request.settings)
        seconds = request.limits.seconds if request.limits else None
        return RemoteCost(request.space, request.task, machine, seconds)
