"""Passes on another device: on one that is pretended, and on the real ones where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import ProxyValues
from hwnas.networks.device import CPU, read_device
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.identity import score_identity
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.result import Result
from hwnas.tasks.catalogue import get_task
from hwnas.typing import Proxy, Surrogate
from tests.hwnas.proxies.engine.pretended_device import PLACE, pretended_device

_CELL = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"


def _network() -> nn.Module:
    space = NasBench201()
    surrogate = Surrogate(channels=4, cells=1)
    return space.build_surrogate(space.parse(_CELL), surrogate, get_task("cifar10"))


def _proxies() -> list[Proxy]:
    return make_proxies(["all"])


def _scores(device: str = "cpu") -> dict[str, Result]:
    torch.manual_seed(0)
    return score_network(_network(), (3, 16, 16), _proxies(), batch_size=4, device=device)


@pytest.fixture(scope="module")
def on_the_cpu() -> dict[str, Result]:
    return _scores()


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the engine think that there is another device, and give its name."""

    @contextmanager
    def made_there(device: torch.device) -> Iterator[None]:
        with pretended_device(), torch.device(device):
            yield

    engine, generator = "hwnas.proxies.engine.scoring", torch.Generator()
    module = SimpleNamespace(
        manual_seed=generator.manual_seed,
        get_rng_state=generator.get_state,
        set_rng_state=generator.set_state,
    )
    monkeypatch.setattr(f"{engine}.made_on", made_there)
    monkeypatch.setattr(f"{engine}.read_device", lambda _: PLACE)
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    # `Module.double` puts numbers into a parameter, which a pretended one keeps elsewhere.
    monkeypatch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
    return str(PLACE)


@pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")  # of tensor subclasses
def test_all_tensors_of_a_pass_are_where_it_runs(
    pretended: str, on_the_cpu: dict[str, Result]
) -> None:
    found = _scores(pretended)
    del found["dextr"]  # forward-mode differentiation makes tensors where PyTorch thinks that it is
    assert {name: result.error for name, result in found.items()} == {
        name: result.error for name, result in on_the_cpu.items() if name in found
    }
    for name, result in found.items():
        assert result.value == pytest.approx(on_the_cpu[name].value, rel=1e-5, nan_ok=True), name


def test_a_device_that_is_not_there_is_refused_in_one_line() -> None:
    assert read_device("cpu") == CPU
    missing = next(
        d for d in ("cuda", "mps", "xpu") if not torch.get_device_module(d).is_available()
    )
    with pytest.raises(InvalidValueError, match=rf"finds no '{missing}' on this machine.*cpu"):
        _scores(missing)
    with pytest.raises(InvalidValueError, match=r"must be cpu, cuda, cuda:N or mps, but got 'gpu'"):
        read_device("gpu")


def test_scores_of_another_device_are_cached_apart() -> None:
    space, task, (proxy,) = NasBench201(), get_task("cifar10"), make_proxies(["naswot"])
    cpu, first, second = (
        score_identity(proxy, space, task, device=device) for device in ("cpu", "cuda", "cuda:1")
    )
    assert cpu == score_identity(proxy, space, task)
    assert first == second != cpu
    source = ProxyValues(space, (proxy,), task, device="cuda")
    assert source.cache_prefix("naswot") == first
    assert source.former_prefixes("naswot") == ()


def test_what_ships_serves_every_device() -> None:
    space, task = NasBench201(), get_task("cifar10")
    key, proxies = space.canonical_key(space.parse(_CELL)), tuple(make_proxies(["params"]))
    here, there = (ProxyValues(space, proxies, task, 16, device=d) for d in ("cpu", "cuda"))
    assert here.precomputed("params", key) is not None
    assert here.precomputed("params", key) == there.precomputed("params", key)


@pytest.mark.gpu
def test_a_gpu_gives_the_scores_of_the_cpu(on_the_cpu: dict[str, Result]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device")
    for name, result in _scores("cuda").items():
        assert result.value == pytest.approx(on_the_cpu[name].value, rel=1e-3, nan_ok=True), name
