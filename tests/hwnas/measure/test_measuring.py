"""Measuring: any runtime and any meter by one loop, and what the result says."""

from __future__ import annotations

import gc
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hwnas import registry
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.measure.host import host, host_fingerprint
from hwnas.measure.measurement import MIN_RUNS, Measurement
from hwnas.measure.measuring import measure
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes import make_runtime
from hwnas.runtimes.base import (
    Network,
    OnnxModel,
    Place,
    Prepared,
    RunSettings,
    TorchNetwork,
    device_key,
    explicit,
)
from hwnas.typing import DeviceKey

SMALL = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
ORT, TORCH = make_runtime("onnxruntime"), make_runtime("torch")


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_measurement_says_what_was_measured(name: str) -> None:
    runtime = make_runtime(name)
    m = measure(SMALL, runtime, RunSettings(batch=2), max_seconds=0.5, meter="wall")
    assert 0 < m.ci_low <= m.value <= m.ci_high
    assert m.value <= m.p95
    assert m.value == m.wall_ms
    assert m.cpu_ms > 0
    assert m.runs >= MIN_RUNS
    assert m.converged == (m.ci_high - m.ci_low <= 0.02 * m.value) or not m.converged
    assert (m.metric, m.unit, m.meter, m.hardware) == ("latency", "ms", "wall", host().cpu)
    assert m.key == DeviceKey("cpu", f"{name}-{runtime.version()}", "float32", 2, 1)
    assert m.fingerprint == host_fingerprint(runtime.packages)
    assert runtime.version() == m.versions[name]
    assert 0 <= m.relative_error < 1e-5
    row = json.loads(json.dumps(m.as_dict(), allow_nan=False))
    for field, value in {
        "latency_ms": m.value, "p95_ms": m.p95, "iqr_ms": m.iqr, "ci_low_ms": m.ci_low,
        "ci_high_ms": m.ci_high, "clock": "wall", "runtime": m.key.runtime, "provider": "cpu",
        "precision": "float32", "batch": 2, "threads": 1, "device": host().cpu,
    }.items():  # fmt: skip
        assert row[field] == value, field


def test_onnx_model_is_measured_without_a_comparison() -> None:
    model = export_onnx(SMALL.module, SMALL.in_shape, batch=5)
    m = measure(OnnxModel(model), ORT, max_seconds=0.05)
    assert m.key.batch == 5
    assert math.isnan(m.relative_error)
    assert m.as_dict()["relative_error"] is None


@pytest.mark.parametrize("runtime", [ORT, TORCH])
def test_meter_is_the_threads_clock_for_one_thread_alone(runtime: Any) -> None:
    one = measure(SMALL, runtime, max_seconds=0.1)
    assert (one.meter, one.value) == ("cpu", one.cpu_ms)
    two = measure(SMALL, runtime, RunSettings(threads=2), max_seconds=0.1)
    assert (two.meter, two.value) == ("wall", two.wall_ms)
    assert two.as_dict()["cpu_ms"] is None
    with pytest.raises(InvalidValueError, match=r"`meter` must see all of the work.*'cpu' does"):
        measure(SMALL, runtime, RunSettings(threads=2), meter="cpu")
    with pytest.raises(
        UnknownNameError, match="must be one of auto, cpu, events, wall, but got 'sun'"
    ):
        measure(SMALL, runtime, meter="sun")
    with pytest.raises(UnknownNameError, match="`metric` must be one of"):
        measure(SMALL, runtime, metric="beauty")


def test_garbage_collection_is_as_before() -> None:
    measure(SMALL, ORT, max_seconds=0.05)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"warmup": -1}, "`warmup` must be at least 0"),
        ({"max_seconds": 0.0}, "`max_seconds` must be above 0"),
        ({"target": float("nan")}, "`target` must be above 0"),
    ],
)
def test_limits_out_of_range_are_refused(limits: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        measure(SMALL, ORT, **limits)


class Lab:
    """A runtime of another package: it runs `seconds` a run, and shifts outputs by `error`."""

    name: ClassVar[str] = "lab"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    options: ClassVar[dict[str, tuple[str, ...]]] = {}
    error: ClassVar[float] = 0.0
    during: ClassVar[Callable[[], None]] = lambda: None

    def version(self) -> str:
        return "7"

    def devices(self) -> list[str]:
        return ["bench"]

    def place(self, settings: RunSettings) -> Place:
        del settings
        return Place("bench", "Bench 3000")

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Prepared]:
        assert isinstance(network, TorchNetwork)
        key = device_key(self, explicit(self, settings))
        images = np.ones((1, *network.in_shape), np.float32)
        with torch.no_grad():
            outputs = network.module(torch.from_numpy(images)).numpy()
        yield Prepared(key, [images], type(self).during, lambda: [outputs + self.error])


def test_outputs_are_compared_before_a_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "error", 0.25)
    twice = nn.Identity()
    # The largest output is 1, so that the error is 0.25 of it.
    with pytest.raises(InvalidValueError, match=r"lab-7/float32.* differs by 0\.25: its latency"):
        measure(TorchNetwork(twice, (1, 2, 2)), Lab(), RunSettings("bench"))
    monkeypatch.setattr(Lab, "error", 0.0005)
    found = measure(TorchNetwork(twice, (1, 2, 2)), Lab(), RunSettings("bench"), max_seconds=0.01)
    assert found.relative_error == pytest.approx(0.0005, rel=1e-3)
    assert (found.hardware, found.meter) == ("Bench 3000", "wall")
    assert "| Bench 3000 |" in found.fingerprint


class Bench:
    """Time of an experiment that no real clock is part of."""

    now = 0.0

    def __init__(self) -> None:
        self.taken: list[float] = []  # milliseconds of each run

    def power(self, t: float) -> float:
        """Give 40 (1 + cos(2 pi t / 0.5)) W: half a second takes 20 J, whenever it starts."""
        return 40 * (1 + math.cos(2 * math.pi * t / 0.5))


BENCH = Bench()


class PowerMeter:
    """Power of the bench, sampled every 10 ms of its time and integrated by trapezoids."""

    name: ClassVar[str] = "lab-power"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 0.004
    opened: ClassVar[int] = 0

    def sees(self, place: Place) -> bool:
        return place.resource == "bench"

    @contextmanager
    def open(self, place: Place) -> Iterator[Callable[[], float]]:
        del place
        PowerMeter.opened += 1
        begin, joules, step = BENCH.now, 0.0, 0.01

        def read() -> float:
            nonlocal begin, joules
            while begin < BENCH.now - step / 2:
                joules += step * (BENCH.power(begin) + BENCH.power(begin + step)) / 2
                begin += step
            return 1e3 * joules

        yield read
        PowerMeter.opened -= 1


def run_on_bench() -> None:
    began = time.perf_counter()
    BENCH.now += 0.5
    time.sleep(0.001)
    BENCH.taken.append((time.perf_counter() - began) * 1e3)


@pytest.fixture
def _power_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    meters = {"lab-power": f"{__name__}:PowerMeter"}
    monkeypatch.setattr(registry, "load", _load_with(PowerMeter, registry.load))
    monkeypatch.setattr(registry, "names", _names_with(list(meters), registry.names))


def _load_with(meter: Any, load: Callable[..., Any]) -> Callable[..., Any]:
    return lambda kind, name: meter if name == "lab-power" else load(kind, name)


def _names_with(more: list[str], names: Callable[..., list[str]]) -> Callable[..., list[str]]:
    return lambda kind: [*names(kind), *(more if kind == "meters" else [])]


@pytest.mark.usefixtures("_power_meter")
def test_energy_of_a_known_power_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "during", run_on_bench)
    network = TorchNetwork(nn.Identity(), (1, 2, 2))
    found = measure(
        network, Lab(), RunSettings("bench"), metric="energy", warmup=1, max_seconds=0.3
    )
    # The trapezoids of a cosine over whole periods are exact.
    assert found.value == pytest.approx(20_000, rel=1e-9)
    assert found.iqr == pytest.approx(0, abs=1e-3)
    assert (found.metric, found.unit, found.meter) == ("energy", "mJ", "lab-power")
    assert found.as_dict()["energy_mj"] == found.value
    # The clocks are those of one run as well, not of the window of up to four.
    assert min(BENCH.taken) <= found.wall_ms < max(BENCH.taken) + 1
    assert PowerMeter.opened == 0
    with pytest.raises(InvalidValueError, match="`energy` must have a sensor on this-cpu"):
        measure(SMALL, ORT, metric="energy")


CALLS = itertools.count(1)


def test_value_of_another_network_is_refused_not_measured() -> None:
    class Wrong(nn.Module):
        """Gives other outputs at every call."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * next(CALLS)

    with pytest.raises(InvalidValueError, match="PyTorch's outputs"):
        measure(TorchNetwork(Wrong(), (1, 2, 2)), TORCH)


def test_versions_name_the_package_that_is_installed() -> None:
    found: Measurement = measure(SMALL, ORT, max_seconds=0.02)
    assert found.versions["onnxruntime"] == onnxruntime.__version__
    assert set(found.versions) == {"onnxruntime", "python"}


def test_an_endless_network_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper

    monkeypatch.setattr("hwnas.measure.measuring._FIRST_SECONDS", 0.2)
    info = helper.make_tensor_value_info
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Sin", ["a"], ["b"]),
        ],
        "step",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("a", TensorProto.FLOAT, [4]),
        ],
        [info("again", TensorProto.BOOL, []), info("b", TensorProto.FLOAT, [4])],
    )
    loop = helper.make_node("Loop", ["", "go", "x"], ["y"], body=step)
    graph = helper.make_graph(
        [loop],
        "endless",
        [info("x", TensorProto.FLOAT, [4])],
        [info("y", TensorProto.FLOAT, [4])],
        [helper.make_tensor("go", TensorProto.BOOL, [], [True])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(InvalidValueError, match=r"first run did not end within 0\.2 s"):
        measure(OnnxModel(model), ORT, max_seconds=0.01)
