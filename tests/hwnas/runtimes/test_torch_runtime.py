"""Eager PyTorch as a runtime."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.costs.measured import RuntimeCost
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.measure.measuring import measure
from hwnas.runtimes import torch_runtime
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import OnnxModel, Place, RunSettings, TorchNetwork
from hwnas.runtimes.torch_runtime import TorchRuntime
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.task import TensorSpec
from hwnas.testing import RuntimeContract

RUNTIME = TorchRuntime()


class TestTorchRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> TorchRuntime:
        return RUNTIME


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda(RuntimeContract):
    device = "cuda"

    @pytest.fixture
    def runtime(self) -> TorchRuntime:
        return RUNTIME


def test_a_compiled_network_is_another_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []

    def compiled(module: nn.Module) -> nn.Module:
        # The real one takes a minute on a slow machine.
        calls.append(module)
        return nn.Sequential(module, nn.Identity())

    monkeypatch.setattr(torch, "compile", compiled)
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    with RUNTIME.prepare(network, RunSettings(options=(("compile", "on"),))) as executable:
        assert executable.key.runtime == f"torch-{torch.__version__}[compile=on]"
        assert agreement(executable, network.module).relative_error == 0
    with RUNTIME.prepare(network, RunSettings()):
        assert len(calls) == 1
    assert calls[0] is not network.module


def test_float32_is_no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with RUNTIME.prepare(TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8)), RunSettings()):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_onnx_model_is_refused() -> None:
    with (
        pytest.raises(InvalidValueError, match="use the runtime onnxruntime"),
        RUNTIME.prepare(OnnxModel(b""), RunSettings()),
    ):
        pass


def test_threads_are_those_of_the_settings_and_then_as_before() -> None:
    seen: list[int] = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            assert torch.is_inference_mode_enabled()
            assert not self.training
            return x

    before, module = torch.get_num_threads(), Watch()
    with RUNTIME.prepare(TorchNetwork(module, (1, 2, 2)), RunSettings(threads=3)) as executable:
        executable.run()
        executable.outputs()
    assert seen == [3, 3]
    assert torch.get_num_threads() == before
    assert module.training


@pytest.mark.parametrize(("precision", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_lower_precision_rounds_as_it_must(precision: str, bits: int) -> None:
    with RUNTIME.prepare(
        TorchNetwork(nn.Identity(), (3, 4, 4)), RunSettings(precision=precision, seed=5, batch=2)
    ) as executable:
        (got,) = executable.outputs()
        assert executable.key.precision == precision
    images = TorchNetwork(nn.Identity(), (3, 4, 4)).draw(2, 5)
    # Rounding to `bits` bits behind the point moves a number by at most half of the last one.
    assert 0 < np.max(np.abs(got / images - 1)) <= 2.0 ** -(bits + 1)


def test_network_that_fails_gets_one_clear_line() -> None:
    with (
        RUNTIME.prepare(TorchNetwork(nn.Linear(7, 2), (3, 4, 4)), RunSettings()) as executable,
        pytest.raises(InvalidValueError, match=r"must run on inputs .*\(1, 3, 4, 4\).*Linear"),
    ):
        executable.outputs()


def test_network_that_gives_no_tensors_is_refused() -> None:
    class Words(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x}

    with (
        RUNTIME.prepare(TorchNetwork(Words(), (3, 4, 4)), RunSettings()) as executable,
        pytest.raises(InvalidValueError, match="must give tensors, but Words gives dict"),
    ):
        executable.outputs()


def test_tokens_stay_integers() -> None:
    network = TorchNetwork(nn.Embedding(7, 3), TensorSpec((5,), "tokens", 7))
    with RUNTIME.prepare(network, RunSettings(batch=4, precision="bfloat16")) as executable:
        assert executable.outputs()[0].shape == (4, 5, 3)
        (tokens,) = executable.inputs
    assert set(np.unique(tokens)) <= set(range(7))
    assert relative_error_of(network) == 0


def relative_error_of(network: TorchNetwork) -> float:
    with RUNTIME.prepare(network, RunSettings()) as executable:
        return agreement(executable, network.module).relative_error


def test_devices_and_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Board {number}")
    assert RUNTIME.devices() == ["cpu", "cuda", "cuda1"]
    assert RUNTIME.place(RunSettings("cpu")) == Place("this-cpu", "", True)
    assert RUNTIME.place(RunSettings("cpu", threads=2)) == Place("this-cpu", "", False)
    for device, place in (("cuda", Place("gpu0", "Board 0")), ("cuda1", Place("gpu1", "Board 1"))):
        found = RUNTIME.place(RunSettings(device))
        assert found._replace(clock=None) == place
        assert found.clock is not None
    with pytest.raises(UnknownNameError, match="`device of torch` must be one of cpu, cuda, cuda1"):
        RUNTIME.place(RunSettings("cuda2"))


class Stream:
    """A device whose clock goes by what runs on it: each run takes the next time."""

    def __init__(self, times: list[float]) -> None:
        self.now, self.pending, self._times = 0.0, 0, iter(times)

    def work(self) -> None:
        self.now += next(self._times)
        self.pending += 1


class Event:
    """A pretended `torch.cuda.Event`."""

    stream: Stream

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing
        self.at = -1.0

    def record(self, stream: Stream) -> None:
        assert stream is self.stream
        self.at = stream.now

    def synchronize(self) -> None:
        self.stream.pending = 0

    def elapsed_time(self, end: Event) -> float:
        assert not self.stream.pending
        return end.at - self.at


def test_runs_on_a_gpu_are_timed_by_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the host does meanwhile, a run takes what the device says that it took."""
    stream = Stream([4.0, 1.0, 2.0] * 1000)
    monkeypatch.setattr(Event, "stream", stream, raising=False)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Pretended {number}")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 12345)
    monkeypatch.setattr(torch_runtime, "torch_device", lambda _: torch.device("cpu"))

    class Work(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            stream.work()
            time.sleep(0.0002)
            return x

    settings = RunSettings("cuda")
    found = measure(TorchNetwork(Work(), (1, 2, 2)), RUNTIME, settings, max_seconds=0.05)
    assert found.meter == "events"
    assert (found.value, found.unit) == (2.0, "ms")
    assert found.wall_ms != found.value
    assert found.facts["peak_memory_bytes"] == 12345
    assert str(found.key) == f"cuda/torch-{torch.__version__}/float32/b1/t1"
    by_wall = measure(
        TorchNetwork(Work(), (1, 2, 2)), RUNTIME, settings, meter="wall", max_seconds=0.05
    )
    assert (by_wall.meter, by_wall.value) == ("wall", by_wall.wall_ms)
    # The CPU's events are nobody's.
    with pytest.raises(InvalidValueError, match="'events' does not: cpu, wall"):
        measure(TorchNetwork(Work(), (1, 2, 2)), RUNTIME, RunSettings(), meter="events")


def test_caches_of_the_wall_clock_are_not_taken_for_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Pretended")
    cost = RuntimeCost(NasBench201(), None, "torch", settings=RunSettings("cuda"))
    assert cost.identity()["meter"] == "events"
    assert "meter='events'" in repr(cost)
    assert cost.device_name == "torch_cuda"
    assert RuntimeCost(NasBench201(), None, "torch").identity()["meter"] == "auto"
