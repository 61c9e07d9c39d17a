import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.wrcor import WRCor
from hwnas.tasks.batch import Batch

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


def slow_wrcor(network: nn.Module, x: Tensor) -> float:
    """Compute the score of `Two` by numpy in float64."""
    get = network.get_submodule
    first = get("blocks.0.0")(x).detach().requires_grad_()
    second = get("blocks.0.2")(torch.relu(first))
    second.retain_grad()
    maps = get("blocks.1.1")(torch.relu(second))
    get("head")(maps.mean(dim=(2, 3))).sum().backward()
    total = np.zeros((len(x), len(x)))
    for weight, values in ((0.5, first), (1.0, second)):
        assert values.grad is not None
        total += weight * np.abs(np.corrcoef(values.detach().flatten(1).numpy()))
        total += weight * np.abs(np.corrcoef(values.grad.flatten(1).numpy()))
    return float(np.linalg.slogdet(total)[1])


def test_against_numpy() -> None:
    subject = Subject(Two(), SHAPE, batch_size=4, seed=3)
    assert subject.blocks == ["blocks.0", "blocks.1"]
    network, x = subject.network(Setting("as_built")).double(), subject.input(Setting())[0].double()
    assert math.isclose(wrcor(Two()), slow_wrcor(network, x), rel_tol=1e-4)


def test_similar_images_are_told_from_equal_ones() -> None:
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    images[1] = images[0] + 3e-4 * noise  # their correlations are 1 - 5e-8
    batch = Batch(images)
    found = score_network(Two(), SHAPE, [WRCor()], batch=batch, seed=3)["wrcor"]
    network = Subject(Two(), SHAPE, batch=batch, seed=3).network(Setting("as_built")).double()
    assert math.isclose(found.value, slow_wrcor(network, images.double()), abs_tol=0.02)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.0, 1 + 1e-6])
def test_a_batch_with_an_image_twice_has_no_score(seed: int, factor: float) -> None:
    images = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(seed))
    images[5] = factor * images[2]
    found = score_network(Two(), SHAPE, [WRCor()], batch=Batch(images), seed=3)["wrcor"]
    assert math.isnan(found.value)
    assert "must differ between images" in str(found.error)


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
