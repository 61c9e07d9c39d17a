from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.networks import blueprint
from hwnas.networks.blueprint import Blueprint


class Mixed(nn.Module):
    """Members of the usual kinds: a shared weight, a list, a tuple, a missing child."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.norm, self.missing = nn.BatchNorm2d(3), None
        self.sizes, self.pairs = [1, 2], ((1, 2), "text")
        self.register_buffer("scale", torch.full((), 2.0))
        self.register_module("none", None)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.norm(self.second(self.first(x))) * self.scale
        return features


class Frozen(Mixed):
    """Its norm stays in evaluation mode."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.norm.eval()
        return self


def hooked() -> nn.Module:
    model = Mixed()
    model.register_forward_hook(lambda _module, _args, output: output + 1)
    return model


@pytest.mark.parametrize("make", [Mixed, Frozen, hooked])
@pytest.mark.parametrize("training", [True, False])
def test_a_copy_computes_what_the_network_does(
    make: Callable[[], nn.Module], training: bool
) -> None:
    torch.manual_seed(0)
    model, images = make(), torch.randn(4, 3, 5, 5)
    twin = Blueprint(model).copy(torch.clone, training)
    assert repr(twin) == repr(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    assert [m.training for m in twin.modules()] == [
        m.training for m in model.train(training).modules()
    ]
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert torch.equal(twin(images), model(images))


def test_copies_share_nothing_that_can_change() -> None:
    model = Mixed()
    plan = Blueprint(model)
    first, second = (plan.copy(torch.clone, training=True) for _ in range(2))
    for twin in (first, second):
        assert twin.get_submodule("first").weight is twin.get_submodule("second").weight
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for tensor in (*first.parameters(), *first.buffers()):
            tensor.zero_()
    first.register_forward_hook(lambda *_: None)
    first.get_submodule("norm").register_buffer("more", torch.ones(1))
    sizes: Any = first.sizes
    sizes.append(3)
    for other in (model, second):
        assert all(torch.equal(other.state_dict()[name], before[name]) for name in before)
        assert not other._forward_hooks
        assert other.sizes == [1, 2]


def test_the_network_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Blueprint(Mixed())
    monkeypatch.delattr(blueprint, "copy_model")
    monkeypatch.delattr(blueprint, "_part")
    plan.copy(torch.clone, training=True)
