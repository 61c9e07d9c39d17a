"""Scores and exports are the same whatever the caller's settings are, and the settings stay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
import torch.utils.checkpoint as checkpointing
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hwnas.costs.counters import count
from hwnas.networks import settings
from hwnas.networks.settings import default_settings
from hwnas.onnx_export.export import export_onnx
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network

SHAPE = (3, 8, 8)
NAMES = [
    "params",
    "flops",
    "synflow",
    "jacob_cov",
    "zico",
    "grad_norm",
    "zen",
    "ntk_cond",
    "epsilon",
]


class Doubling(TorchFunctionMode):
    """A mode of the caller that changes every function's values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        return result * 2 if isinstance(result, Tensor) and result.is_floating_point() else result


class Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} runs in the caller's mode")


@contextmanager
def _setting(get: Callable[[], Any], put: Callable[[Any], object], value: Any) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


def _deterministic() -> AbstractContextManager[None]:
    return _setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    )


@contextmanager
def _global_hook() -> Iterator[None]:
    ran: list[object] = []

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        del args
        ran.append(module)
        return output * 2

    handle = register_module_forward_hook(hook)
    try:
        yield
        assert not ran
        nn.Linear(1, 1)(torch.zeros(1, 1))
        assert len(ran) == 1
    finally:
        handle.remove()


@contextmanager
def _device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
        assert torch.get_default_device().type == device
    finally:
        torch.set_default_device(None)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64": lambda: _setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "float16": lambda: _setting(torch.get_default_dtype, torch.set_default_dtype, torch.float16),
    "default device": lambda: _device("meta"),
    "device context": lambda: torch.device("meta"),
    "deterministic": _deterministic,
    "precision": lambda: _setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "no oneDNN": lambda: _setting(
        torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, False
    ),
    "oneDNN in bfloat16": lambda: _setting(
        lambda: torch._C._get_fp32_precision_getter("mkldnn", "all"),
        lambda value: torch._C._set_fp32_precision_setter("mkldnn", "all", value),
        "bf16",
    ),
    "no fast attention": lambda: _setting(
        torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, False
    ),
    "threads": lambda: _setting(torch.get_num_threads, torch.set_num_threads, 2),
    "function mode": Doubling,
    "dispatch mode": Refusing,
    "hook of all modules": _global_hook,
    "anomaly detection": torch.autograd.detect_anomaly,
}


@pytest.fixture(scope="module")
def networks() -> list[nn.Module]:
    """Two networks, of which the first has an ONNX graph without PyTorch's slow exporter."""

    def network(norm: nn.Module) -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
            *(nn.Conv2d(6, 6, 3, padding=1), norm, nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
        )

    torch.manual_seed(0)
    return [network(nn.BatchNorm2d(6)), network(nn.GroupNorm(2, 6))]


@pytest.fixture(scope="module")
def expected(networks: list[nn.Module]) -> object:
    return _outcome(networks)


def _outcome(networks: list[nn.Module]) -> object:
    outcome: list[object] = [export_onnx(networks[0], SHAPE).SerializeToString()]
    for network in networks:
        scores = score_network(network, SHAPE, make_proxies(NAMES), batch_size=4)
        assert not [score.error for score in scores.values() if score.error]
        values = {name: score.value for name, score in scores.items()}
        outcome += [values, count(network, SHAPE)]
    return outcome


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_scores_and_exports_do_not_depend_on_settings(
    name: str, networks: list[nn.Module], expected: object
) -> None:
    with SETTINGS[name]():
        assert _outcome(networks) == expected


def test_what_torch_exports_does_not_depend_on_settings() -> None:
    class Unusual(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            norm: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1, keepdim=True)
            return norm

    expected = export_onnx(Unusual(), SHAPE)
    with _setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        got = export_onnx(Unusual(), SHAPE)
    assert got.graph.output == expected.graph.output
    assert got.graph.input == expected.graph.input


def test_settings_come_back_after_an_error() -> None:
    def fail() -> None:
        with default_settings():
            assert not torch.is_autocast_enabled("cpu")
            assert torch.get_default_dtype() is torch.float32
            raise ValueError("within")

    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        _setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    ):
        with pytest.raises(ValueError, match="within"):
            fail()
        assert torch.is_autocast_enabled("cpu")


def test_denormal_numbers_count() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    try:
        with default_settings():
            assert float(torch.tensor(1e-310, dtype=torch.float64) * 0.5) > 0
        assert float(torch.tensor(1e-310, dtype=torch.float64) * 0.5) == 0
    finally:
        torch.set_flush_denormal(False)


def test_settings_of_the_process_are_changed_by_one_thread_at_a_time() -> None:
    original = checkpointing.CheckpointFunction
    inside: list[bool] = []

    def other() -> None:
        with default_settings():
            inside.append(leaving)

    leaving, thread = False, threading.Thread(target=other)
    with default_settings(), default_settings():
        thread.start()
        thread.join(0.2)
        assert checkpointing.CheckpointFunction is not original
        leaving = True
    thread.join()
    assert inside == [True]
    assert checkpointing.CheckpointFunction is original


def test_older_pytorch_has_no_precision_of_single_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(settings._precisions()) == 5
    monkeypatch.delattr(settings._C, "_get_fp32_precision_getter")
    assert settings._precisions() == ()
