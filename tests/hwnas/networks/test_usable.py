from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import Answering
from hwnas.networks.usable import answering_network, usable_network


def images() -> Tensor:
    return torch.ones(2, 3, 8, 8)


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5)
    ).train()


def test_a_usual_network_is_itself() -> None:
    network = plain()
    assert usable_network(network, images) is network
    assert answering_network(network, images) is network


def test_lazy_modules_get_the_sizes_of_their_first_inputs() -> None:
    network, state = lazy(), torch.get_rng_state()
    found = usable_network(network, images, seed=1)
    shapes = {name: tuple(p.shape) for name, p in found.named_parameters()}
    assert shapes["0.weight"] == (4, 3, 3, 3)
    assert shapes["3.weight"] == (5, 4 * 6 * 6)
    assert type(found[0]) is nn.Conv2d  # type: ignore[index]
    assert found.training
    assert isinstance(network[0], nn.LazyConv2d)  # type: ignore[index]
    assert network[0].has_uninitialized_params()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), state)
    again = usable_network(network, images, seed=1)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), found.parameters(), strict=True)
    )


def test_lazy_modules_that_cannot_be_completed() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.LazyLinear(3), nn.LazyLinear(3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.used(x.flatten(1))
            return logits

    with pytest.raises(InvalidValueError, match="did not run spare"):
        usable_network(Unused(), images)
    with pytest.raises(
        InvalidValueError, match=r"complete its lazy modules .* raised RuntimeError"
    ):
        usable_network(nn.Sequential(nn.LazyLinear(4), nn.Linear(3, 2)), images)


def test_networks_without_values() -> None:
    with torch.device("meta"):
        network = plain()
    for prepare in (usable_network, answering_network):
        with pytest.raises(InvalidValueError, match="4 of its tensors are on the meta device"):
            prepare(network, images)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_hides_layers_but_runs() -> None:
    jit: Any = torch.jit
    scripted, traced = jit.script(plain()), jit.trace(plain().eval(), images())
    for network in (scripted, traced, nn.Sequential(traced)):
        with pytest.raises(InvalidValueError, match="of TorchScript"):
            usable_network(network, images)
        assert answering_network(network, images) is network


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.second = plain(), nn.Flatten()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.second(x), self.body(x)


def test_a_network_of_several_outputs_is_wrapped() -> None:
    network = Heads()
    before = copy.deepcopy(network.state_dict())
    found = answering_network(network, images, 1)
    assert isinstance(found, Answering)
    assert torch.equal(found(images()), network.body(images()))
    assert torch.equal(answering_network(network, images)(images()), images().flatten(1))
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    with pytest.raises(InvalidValueError, match="one of 0, 1, but got 2"):
        answering_network(network, images, 2)


def test_a_network_that_does_not_run_is_one_line() -> None:
    with pytest.raises(InvalidValueError, match=r"shape \(2, 3, 8, 8\), but Sequential raised"):
        answering_network(nn.Sequential(nn.Linear(3, 2)), images)
