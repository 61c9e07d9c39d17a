"""What a kernel predictor is about: a runtime on this host's CPU, a precision, threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx

from hwnas.errors import unknown_name
from hwnas.measure.beside_reference import measure_together
from hwnas.measure.host import host_fingerprint
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.measure.measuring import measure
from hwnas.measure.rounds import Length
from hwnas.meters import AUTO
from hwnas.runtimes import make_runtime
from hwnas.runtimes.base import (
    THIS_CPU,
    Activations,
    OnnxModel,
    RunSettings,
    Runtime,
    device_key,
    explicit,
    written,
)
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.kernels.fused_graph import find_kernels, fused_graph
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.lowered import lowered
from hwnas_predictors.kernels.openvino_graph import find_openvino_kernels
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.profilers import (
    Profiled,
    onnxruntime_profiler,
    openvino_profiler,
)

_FIRST = "onnxruntime"
_NOT = "torch"
_ACTIVATIONS: Mapping[str, Activations] = {"onnxruntime": "unsigned", "openvino": "symmetric"}
"""The runtimes that say what they execute and time it, and how they store activations in int8."""


@dataclass(frozen=True)
class Target:
    """What runs the kernels.

    Attributes:
        runtime: name of a runtime that takes ONNX models.
        precision: number format, one that the runtime has.
        threads: threads inside an operator.

    Raises:
        UnknownNameError: the runtime does not take ONNX models, or lacks the precision.
        MissingDependencyError: it needs a package that is not installed.
    """

    runtime: str = _FIRST
    precision: str = "float32"
    threads: int = 1

    def __post_init__(self) -> None:
        """Check them, and write the precision out."""
        if self.runtime == _NOT:
            known = (_FIRST, "openvino", "litert", "mnn", "ncnn")
            raise unknown_name("runtime of ONNX models", self.runtime, known)
        settings = explicit(self.made(), self.settings)
        object.__setattr__(self, "precision", settings.precision)

    def made(self) -> Runtime:
        """Make the runtime."""
        return make_runtime(self.runtime)

    @property
    def settings(self) -> RunSettings:
        """How everything is run: one image at a time."""
        return RunSettings(threads=self.threads, batch=1, precision=self.precision)

    @property
    def resource(self) -> str:
        """What two measurements cannot share."""
        return THIS_CPU

    @property
    def fingerprint(self) -> str:
        """Hardware and software that the latencies belong to."""
        return host_fingerprint(self.made().packages)

    @property
    def identity(self) -> str:
        """Say how networks are measured and written, beside `repr`."""
        return f"{written(self.made(), self.settings)}{self.quantised}"

    def key(self) -> DeviceKey:
        """Name what the latencies belong to."""
        runtime = self.made()
        return device_key(runtime, explicit(runtime, self.settings))

    @property
    def profiled(self) -> bool:
        """Whether the runtime says which kernels it executes, and times each."""
        return is_profiled(self.runtime)

    @property
    def batchless(self) -> bool:
        """Whether the runtime runs images one by one, and knows no batch."""
        return bool(getattr(self.made(), "one_by_one", False))

    @property
    def quantised(self) -> str:
        """Name how `lowered` quantises where the runtime itself did it before; else nothing."""
        return "by lowered" if self.runtime == "openvino" and self.precision == "int8" else ""

    def lowered(self, model: onnx.ModelProto) -> bytes:
        """Give a network as it is measured, in int8 where the runtime says what it executes."""
        if not self.profiled:
            return bytes(model.SerializeToString())
        return lowered(model, self.precision, _ACTIVATIONS[self.runtime])

    def profiler(self, model: onnx.ModelProto) -> AbstractContextManager[Profiled]:
        """Make a network ready to be run with each kernel timed; errors as of `profilers`."""
        if self.runtime == "openvino":
            return openvino_profiler(self.lowered(model), self.settings)
        return onnxruntime_profiler(fused_graph(self.lowered(model)), self.threads)

    def kernels(self, model: onnx.ModelProto | bytes) -> list[Kernel]:
        """List the kernels of a network, see `kernels_for`."""
        return kernels_for(self.runtime, self.settings, model)

    def together_ms(
        self, models: Sequence[onnx.ModelProto], precision: str, seconds: float
    ) -> FloatArray:
        """Measure parts of networks in turn, in a child that keeps the reference network.

        Args:
            models: `(n,)` the parts.
            precision: number format.
            seconds: time for each.

        Returns:
            `(n,)` latencies in ms at the reference's nominal speed.

        Raises:
            HwnasError: the runtime cannot run one of them.
        """
        networks = [OnnxModel(model.SerializeToString(), part=True) for model in models]
        how = self.made(), replace(self.settings, precision=precision), AUTO, Length(seconds)
        found = child_with(Limits()).call(measure_together, networks, *how)
        return np.array([measurement.value for measurement in found])

    def network_ms(self, model: onnx.ModelProto, seconds: float) -> float:
        """Measure a network, in a child that keeps the reference network from one to the next.

        Returns:
            A latency in ms at the reference's nominal speed.

        Raises:
            HwnasError: the runtime cannot run it.
        """
        how = partial(measure, max_seconds=seconds, reference=True, isolate=False)
        network = OnnxModel(self.lowered(model))
        return child_with(Limits()).call(how, network, self.made(), self.settings).value

    def insist_that_it_runs(self, model: onnx.ModelProto) -> None:
        """Make a network ready to run in a child process; errors as of `network_ms`."""
        network = OnnxModel(self.lowered(model))
        child_with(Limits()).call(_prepare, network, self.made(), self.settings)


def _prepare(network: OnnxModel, runtime: Runtime, settings: RunSettings) -> None:
    with runtime.prepare(network, settings):
        pass


def is_profiled(runtime: str) -> bool:
    """Tell whether a runtime says which kernels it executes, and times each."""
    return runtime in _ACTIVATIONS


def kernels_for(
    runtime: str, settings: RunSettings, model: onnx.ModelProto | bytes
) -> list[Kernel]:
    """List the kernels of a network as they are measured.

    See `find_kernels`, `find_openvino_kernels` and `find_plain_kernels`.
    """
    if not is_profiled(runtime):
        return find_plain_kernels(model)
    assert settings.precision is not None
    content = lowered(model, settings.precision, _ACTIVATIONS[runtime], per_channel=False)
    if runtime == "openvino":
        return find_openvino_kernels(content, settings)
    return find_kernels(content)
