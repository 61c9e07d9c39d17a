from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.networks.copying import copy_model


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
