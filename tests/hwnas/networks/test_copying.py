from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hwnas.networks.copying import copy_model
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten())
    model.get_submodule("2").weight.requires_grad_(False)
    model.get_submodule("1").eval()
    return model


def test_the_copy_is_what_deepcopy_gives() -> None:
    model, images = network(), torch.randn(2, 3, 9, 9)
    expected, twin = copy.deepcopy(model), copy_model(model, torch.clone)
    assert repr(twin) == repr(expected)
    for (name, p), (other, q) in zip(
        twin.named_parameters(), expected.named_parameters(), strict=True
    ):
        assert name == other
        assert p.requires_grad == q.requires_grad
    assert [m.training for m in twin.modules()] == [m.training for m in expected.modules()]
    assert torch.equal(twin(images), expected(images))


def test_nothing_is_shared_with_the_original() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    twin = copy_model(model, torch.clone)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.zero_()
    twin.register_forward_hook(lambda *_: None)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert not model._forward_hooks


def test_hooks_act_on_the_copy() -> None:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        del args
        scaled: Tensor = output * vars(module)["factor"]
        return scaled

    model = nn.Linear(2, 2)
    vars(model)["factor"] = torch.tensor(3.0)
    model.register_forward_hook(hook)
    twin, images = copy_model(model, torch.clone), torch.randn(2, 2)
    assert torch.equal(twin(images), model(images))
    vars(twin)["factor"].zero_()
    assert not twin(images).any()
    assert model(images).any()


def test_tensors_that_have_yet_to_be_sized_are_copied() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    twin = copy_model(model, torch.clone)
    assert twin(torch.randn(2, 5)).shape == (2, 3)
    assert isinstance(model.get_submodule("0"), nn.LazyLinear)


def _compiled(model: Any) -> Any:
    return torch.compile(model, backend="eager")


def test_compiled_networks_are_copied_as_they_were_written() -> None:
    model = network()
    model.get_submodule("2").compile(backend="eager")
    inner = nn.Sequential(_compiled(model), nn.Identity())
    for given in (_compiled(inner), nn.DataParallel(inner), AveragedModel(inner)):
        twin = copy_model(given, torch.clone)
        assert repr(twin) == repr(nn.Sequential(network(), nn.Identity()))
        assert not any("_compiled_call_impl" in vars(module) for module in twin.modules())
    assert "_compiled_call_impl" in vars(model.get_submodule("2"))


def test_a_wrapper_that_does_more_stays() -> None:
    class Doubling(nn.DataParallel[nn.Module]):
        def forward(self, x: Tensor) -> Tensor:
            doubled: Tensor = 2 * self.module(x)
            return doubled

    model, images = Doubling(nn.Linear(2, 2)), torch.randn(3, 2)
    assert torch.equal(copy_model(model, torch.clone)(images), model(images))


def _by_closure(model: nn.Module) -> Any:
    run = model.forward
    return lambda x: run(x)


def _by_default(model: nn.Module) -> Any:
    def forward(x: Tensor, *, layers: Any = (model,)) -> Tensor:
        y: Tensor = type(layers[0]).forward(layers[0], x)
        return y

    return forward


def _by_partial(model: nn.Module) -> Any:
    return functools.partial(type(model).forward, model)


def _by_compiler(model: nn.Module) -> Any:
    return _compiled(model.forward)


def _by_itself(model: nn.Module) -> Any:
    def forward(x: Tensor, depth: int = 0) -> Tensor:
        y: Tensor = type(model).forward(model, x) if depth else forward(x, 1)
        return y

    return forward


@pytest.mark.parametrize("make", [_by_closure, _by_default, _by_partial, _by_compiler, _by_itself])
def test_a_replaced_forward_runs_the_copy(make: Callable[[nn.Module], Any]) -> None:
    model = network()
    model.train()
    vars(model)["forward"] = make(model)
    twin = copy_model(model, torch.clone)
    twin(torch.randn(2, 3, 9, 9))
    assert int(twin.get_buffer("1.num_batches_tracked")) == 1
    assert int(model.get_buffer("1.num_batches_tracked")) == 0
    assert torch.equal(model.get_buffer("1.running_mean"), torch.zeros(4))


def test_hooks_refer_to_the_copy_as_well() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    vars(model)["seen"] = []
    model[0].register_forward_hook(lambda *args: vars(model)["seen"].append(args))
    twin = copy_model(model, torch.clone)
    twin(torch.ones(1, 2))
    assert len(vars(twin)["seen"]) == 1
    assert not vars(model)["seen"]


def test_functions_that_refer_to_nothing_copied_are_shared() -> None:
    factor = 2.0
    model = nn.Linear(2, 2)
    vars(model)["scale"] = lambda x: x * factor
    assert vars(copy_model(model, torch.clone))["scale"] is vars(model)["scale"]


def test_tensors_in_containers_are_converted() -> None:
    model = nn.Linear(2, 2)
    vars(model)["held"] = [torch.ones(1), model.weight]
    twin: Any = copy_model(model, Tensor.double)
    assert [tensor.dtype for tensor in twin.held] == [torch.float64] * 2
    assert twin.held[1] is twin.weight


def test_distributed_networks_are_what_they_wrap(caplog: pytest.LogCaptureFixture) -> None:
    distributed: Any = torch.distributed  # not all of it has types
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 3))
        wrapped = nn.parallel.DistributedDataParallel(network)
        copy = copy_model(wrapped, torch.clone)
        assert type(copy) is nn.Sequential
        names = ["synflow", "naswot", "grad_norm", "params", "flops"]
        expected, got = (
            score_network(model, (3, 2, 2), make_proxies(names), batch_size=4)
            for model in (network, wrapped)
        )
        for name in names:
            assert got[name].error is None
            assert got[name].value == expected[name].value
    finally:
        distributed.destroy_process_group()
    assert not caplog.messages
