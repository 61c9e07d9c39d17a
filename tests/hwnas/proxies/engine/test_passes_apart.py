"""No pass sees what the network wrote in the trial run."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Init, Setting
from hwnas.proxies.engine.subject import Subject

SHAPE = (3, 4, 4)


class Counting(nn.Module):
    """Counts its runs in a number, a list, a buffer, a new buffer or a parameter."""

    seen: Tensor

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.number, self.runs = where, 0, [0]
        self.register_buffer("seen", torch.zeros(1))
        self.layer = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        match self.where:
            case "number":
                self.number += 1
            case "list":
                self.runs[0] += 1
            case "attribute":
                self.more = 1
            case "buffer":
                self.seen.add_(1)
            case "new buffer":
                self.seen = self.seen + 1
            case "parameter":
                with torch.no_grad():
                    self.scale.add_(1)
            case "data of a buffer":
                self.seen.data.add_(1)
            case "data of a parameter":
                self.scale.data.add_(1)
            case "another's data":
                self.scale.data = torch.ones(1)
            case "numpy":
                self.seen.numpy()[:] += 1
        logits: Tensor = self.layer(x.mean(dim=(2, 3)))
        return logits


def state(network: Any) -> tuple[Any, ...]:
    written = (float(network.seen), float(network.scale))
    return network.number, network.runs, hasattr(network, "more"), *written


WHERE = ["nowhere", "number", "list", "attribute", "buffer", "new buffer", "parameter"]
UNSEEN = ["data of a buffer", "data of a parameter", "another's data", "numpy"]  # by `_version`


@pytest.mark.parametrize("where", [*WHERE, *UNSEEN])
@pytest.mark.parametrize("init", ["as_built", "kaiming"])
def test_a_pass_sees_nothing_of_the_probe(where: str, init: Init) -> None:
    subject = Subject(Counting(where), SHAPE)
    subject.check()
    for _ in range(2):
        network = subject.network(Setting(init))
        assert state(network) == (0, [0], False, 0.0, 0.0)
        assert network.training


class Fading(nn.Module):
    """Halves its gain at each run, unseen by PyTorch's count of writes."""

    gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(1))
        self.conv, self.relu, self.layer = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Linear(16, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        self.gain.data.mul_(0.5)
        y = self.relu(self.conv(x) + self.gain)
        logits: Tensor = self.layer(y.mean(dim=(2, 3)))
        return logits


def test_a_score_does_not_depend_on_what_else_is_asked_for() -> None:
    torch.manual_seed(0)
    model = Fading()
    alone, asked = (
        score_network(model, SHAPE, make_proxies(names), batch_size=8)["wrcor"]
        for names in (["wrcor"], ["naswot", "grad_norm", "wrcor"])
    )
    assert alone.error is None
    assert alone.value == asked.value


def test_drawn_weights_do_not_depend_on_the_copies_before() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    first, second = Subject(model, SHAPE, seed=3), Subject(model, SHAPE, seed=3)
    second.network(Setting("as_built", "eval"))
    networks = [subject.network(Setting("kaiming")) for subject in (first, second)]
    again = first.network(Setting("kaiming", "eval"))
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(tensor, networks[1].state_dict()[name])
        assert torch.equal(tensor, again.state_dict()[name])
