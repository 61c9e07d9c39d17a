"""Eager PyTorch as a runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import OnnxModel, Place, RunSettings, TorchNetwork
from hwnas.runtimes.torch_runtime import TorchRuntime
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
    assert RUNTIME.place(RunSettings("cuda")) == Place("gpu0", "Board 0")
    assert RUNTIME.place(RunSettings("cuda1")) == Place("gpu1", "Board 1")
    with pytest.raises(UnknownNameError, match="`device of torch` must be one of cpu, cuda, cuda1"):
        RUNTIME.place(RunSettings("cuda2"))
