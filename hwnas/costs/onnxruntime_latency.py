"""Latency on this host, measured with ONNX Runtime.

Two clocks are read around every run. With one thread on the CPU provider the whole run happens in
the calling thread, whose CPU time leaves out the time that other processes run; that is the
default there, because on a busy machine it repeats better between processes
(`benchmarks/latency/repeatability.py` prints by how much; an idle machine was not compared). It
is not what a user of a busy machine waits for: `clock="wall"` is. With several threads or another
provider only the wall clock sees all of the work, and it is the default. Both medians are always
reported.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from time import perf_counter_ns, thread_time_ns
from typing import Any, ClassVar, Generic, Literal

import numpy as np
import onnx

from hwnas.costs.source import CostOption, CostRequest
from hwnas.errors import InvalidValueError
from hwnas.measure.host import host, host_fingerprint
from hwnas.measure.measurement import Clock, Measurement, Timings, median_interval, repeat
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.onnxruntime_session import (
    Feeds,
    available_providers,
    batch_of,
    load_model_bytes,
    open_session,
    provider_name,
    random_feeds,
)
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

ClockChoice = Literal["auto", "wall", "cpu"]


def measure_latency(
    model: onnx.ModelProto | bytes | str | os.PathLike[str],
    *,
    provider: str = "cpu",
    threads: int = 1,
    batch: int | None = None,
    in_shape: Sequence[int] | None = None,
    warmup: int = 10,
    max_seconds: float = 5.0,
    target: float = 0.02,
    clock: ClockChoice = "auto",
    spinning: bool = True,
    seed: int = 0,
) -> Measurement:
    """Measure the latency of an ONNX model on this host.

    Runs are repeated until the 95 % confidence interval of the median is narrower than `target`
    times the median, or time is up. Times include the copies to and from a GPU.

    Args:
        model: model, its bytes or its file; any number of inputs, filled with random values.
        provider: execution provider, e.g. ``cpu``, ``cuda`` or ``CUDAExecutionProvider``.
        threads: threads inside an operator; operators run one after another.
        batch: images a run; None for the model's, or 1 where that is free. A model whose batch is
            fixed runs with no other.
        in_shape: values of the other dimensions where they are free.
        warmup: least number of runs before the counted ones.
        max_seconds: time for warm-up and measurement; at least one run is counted.
        target: width of the interval as a share of the median at which to stop.
        clock: what `latency_ms` is: ``wall``, ``cpu`` or ``auto``, which is ``cpu`` for one
            thread on the CPU provider and ``wall`` otherwise.
        spinning: idle threads wait actively, which is ONNX Runtime's default.
        seed: seed of the inputs.

    Returns:
        The measurement.

    Raises:
        UnknownNameError: the provider is not in this installation; lists those it has.
        InvalidValueError: a setting is out of range, or the model cannot be loaded or run.
    """
    _check_limits(1 if batch is None else batch, warmup, max_seconds, target)
    chosen = _choose_clock(clock, provider, threads)
    session = open_session(load_model_bytes(model), provider, threads, spinning)
    images = batch or batch_of(session) or 1
    feeds = random_feeds(session, images, in_shape, seed)
    with _without_garbage_collection():
        timings = repeat(
            _timed_run(session, feeds),
            chosen,
            warmup=warmup,
            max_seconds=max_seconds,
            target=target,
        )
    return _summarise(timings, chosen, provider, threads, images)


def _check_limits(batch: int, warmup: int, max_seconds: float, target: float) -> None:
    for name, value, least in (("batch", batch, 1), ("warmup", warmup, 0)):
        if value < least:
            raise InvalidValueError(f"`{name}` must be at least {least}, but got {value}.")
    for name, number in (("max_seconds", max_seconds), ("target", target)):
        if not number > 0:
            raise InvalidValueError(f"`{name}` must be above 0, but got {number}.")


def _choose_clock(clock: ClockChoice, provider: str, threads: int) -> Clock:
    in_this_thread = threads == 1 and provider_name(provider) == "CPUExecutionProvider"
    if clock not in ("auto", "wall", "cpu"):
        raise InvalidValueError(f"`clock` must be auto, wall or cpu, but got {clock!r}.")
    if clock == "cpu" and not in_this_thread:
        raise InvalidValueError(
            f"`clock` 'cpu' sees the calling thread alone, but got {threads} threads on "
            f"{provider!r}: use 'wall', or one thread on 'cpu'."
        )
    if clock == "auto":
        return "cpu" if in_this_thread else "wall"
    return clock


def _timed_run(session: Any, feeds: Feeds) -> Callable[[], tuple[float, float]]:
    def run() -> tuple[float, float]:
        wall, cpu = perf_counter_ns(), thread_time_ns()
        session.run(None, feeds)
        return (perf_counter_ns() - wall) / 1e6, (thread_time_ns() - cpu) / 1e6

    try:
        run()
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`onnx` must run on random inputs of shapes "
            f"{[list(array.shape) for array in feeds.values()]}, but ONNX Runtime says: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return run


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _summarise(
    timings: Timings, clock: Clock, provider: str, threads: int, batch: int
) -> Measurement:
    import onnxruntime

    times = timings.wall_ms if clock == "wall" else timings.cpu_ms
    low, high = median_interval(times)
    lower, median, upper, p95 = (float(q) for q in np.percentile(times, [25, 50, 75, 95]))
    in_this_thread = _choose_clock("auto", provider, threads) == "cpu"
    return Measurement(
        latency_ms=median,
        p95_ms=p95,
        iqr_ms=upper - lower,
        ci_low_ms=low,
        ci_high_ms=high,
        wall_ms=float(np.median(timings.wall_ms)),
        cpu_ms=float(np.median(timings.cpu_ms)) if in_this_thread else float("nan"),
        clock=clock,
        runs=len(times),
        converged=timings.converged,
        seconds=timings.seconds,
        provider=provider,
        threads=threads,
        batch=batch,
        device=host().cpu,
        fingerprint=host_fingerprint(),
        versions={
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
    )


@dataclass(frozen=True, repr=False)
class OnnxRuntimeLatency(Generic[Arch]):
    """Latency of a space's networks on this host, as a cost model.

    The network of the architecture's representative is built with weights from `seed`, exported
    in float32 and measured. Values of equal architectures differ by measurement noise alone; an
    evaluator's cache keeps one of them.

    Attributes:
        space: search space.
        task: what the networks are built for; the space's default if None.
        provider: execution provider.
        threads: threads inside an operator.
        batch: images a run; the latency is that of the whole batch.
        max_seconds: time for one network, export not included.
        seed: seed of weights and inputs.
        clock: ``wall``, ``cpu`` or ``auto``, as in `measure_latency`.

    Raises:
        UnknownNameError: the provider is not in this installation; lists those it has.
        InvalidValueError: a setting is out of range.
    """

    space: SearchSpace[Arch]
    task: Task | None = None
    provider: str = "cpu"
    threads: int = 1
    batch: int = 1
    max_seconds: float = 1.0
    seed: int = 0
    clock: ClockChoice = "auto"

    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.threads < 1:
            raise InvalidValueError(f"`threads` must be at least 1, but got {self.threads}.")
        _check_limits(self.batch, 0, self.max_seconds, 1.0)
        _choose_clock(self.clock, self.provider, self.threads)

    def __repr__(self) -> str:
        settings = {"space": self.space, **self._networks.task.settings}
        settings |= {f.name: getattr(self, f.name) for f in fields(self)[2:]}
        return f"OnnxRuntimeLatency({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    @property
    def _networks(self) -> Networks[Arch]:
        return Networks(self.space, self.task or self.space.default_task)

    @property
    def device(self) -> DeviceKey:
        """This host under ONNX Runtime."""
        import onnxruntime

        return DeviceKey(
            device=self.provider,
            runtime=f"onnxruntime-{onnxruntime.__version__}",
            batch=self.batch,
            threads=self.threads,
        )

    @property
    def fingerprint(self) -> str:
        """Hardware and software that the values belong to."""
        return host_fingerprint()

    def measure(self, arch: Arch) -> Measurement:
        """Build, export and measure one network.

        Raises:
            InvalidValueError: the network cannot be exported or run.
        """
        networks = self._networks
        model = networks.network(arch, networks.seed(arch, self.seed))
        return measure_latency(
            export_onnx(model, networks.task.input.shape, batch=self.batch),
            provider=self.provider,
            threads=self.threads,
            batch=self.batch,
            max_seconds=self.max_seconds,
            clock=self.clock,
            seed=self.seed,
        )

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Measure `(n,)` architectures one after another; `(n,)` latencies in ms."""
        return np.array([self.measure(arch).latency_ms for arch in archs], dtype=np.float64)


class OnnxRuntimeSource:
    """The source ``onnxruntime``: latency on this host, one device an execution provider."""

    def options(self) -> list[CostOption]:
        """List the execution providers of this installation, the CPU first."""
        return [CostOption(name, "latency", "ms", "minimize") for name in available_providers()]

    def make(self, request: CostRequest) -> OnnxRuntimeLatency[Any]:
        """Make the cost model for one image and one thread."""
        return OnnxRuntimeLatency(request.space, request.task, provider=request.device or "cpu")
