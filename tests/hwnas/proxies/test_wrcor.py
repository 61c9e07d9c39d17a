import math

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.wrcor import WRCor

SHAPE = (3, 6, 6)


class Two(nn.Module):
    """Two blocks of a convolution and a ReLU: the second in place, which must do no harm."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        torch.manual_seed(1)
        first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        second = nn.Sequential(nn.ReLU(inplace), nn.Conv2d(4, 5, 3))
        self.blocks = nn.Sequential(first, second)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(x).mean(dim=(2, 3)))
        return logits


def wrcor(model: nn.Module, batch_size: int = 4) -> float:
    found = score_network(model, SHAPE, [WRCor()], batch_size=batch_size, seed=3)["wrcor"]
    assert found.error is None
    return found.value


def test_against_numpy() -> None:
    subject = Subject(Two(), SHAPE, batch_size=4, seed=3)
    assert subject.blocks == ["blocks.0", "blocks.1"]
    network, x = subject.network(Setting("as_built")).double(), subject.input(Setting())[0].double()
    get = network.get_submodule
    first = get("blocks.0.0")(x).detach().requires_grad_()
    second = get("blocks.0.2")(torch.relu(first))
    second.retain_grad()
    maps = get("blocks.1.1")(torch.relu(second))
    get("head")(maps.mean(dim=(2, 3))).sum().backward()
    total = np.zeros((4, 4))
    for weight, values in ((0.5, first), (1.0, second)):
        assert values.grad is not None
        total += weight * np.abs(np.corrcoef(values.detach().flatten(1).numpy()))
        total += weight * np.abs(np.corrcoef(values.grad.flatten(1).numpy()))
    assert math.isclose(wrcor(Two()), np.linalg.slogdet(total)[1], rel_tol=1e-4)


def test_functions_and_modules_are_alike() -> None:
    class Functional(Two):
        def forward(self, x: Tensor) -> Tensor:
            a, b = self.get_submodule("blocks.0"), self.get_submodule("blocks.1")
            x = a.get_submodule("2")(nn.functional.relu(a.get_submodule("0")(x)))
            logits: Tensor = self.head(b.get_submodule("1")(torch.relu_(x)).mean(dim=(2, 3)))
            return logits

    one = score_network(Functional(), SHAPE, [WRCor()], batch_size=4, seed=3)["wrcor"]
    assert one.error is None
    assert wrcor(Two(inplace=False)) == wrcor(Two())


def test_equal_responses_have_no_score() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x.mean(dim=0, keepdim=True).expand_as(x)).mean(dim=(2, 3))

    found = score_network(Same(), SHAPE, [WRCor()], batch_size=3)["wrcor"]
    assert math.isnan(found.value)
    assert score_network(nn.Flatten(), SHAPE, [WRCor()])["wrcor"].error is not None
