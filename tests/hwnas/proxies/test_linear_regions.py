import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.linear_regions import LinearRegions, Swap
from hwnas.tasks.batch import Batch

# Units: (+, +, -), (-, +, -), (+, +, -), (-, -, -) over the three images.
IMAGES = Batch(
    torch.tensor([[1.0, -1.0, 2.0, -1.0], [2.0, 3.0, 0.1, -2.0], [-1.0, -5.0, -1.0, 0.0]]).reshape(
        3, 4, 1, 1
    )
)


class Rectified(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * 1).flatten(1)


def test_units_with_equal_signs_count_once() -> None:
    found = score_network(Rectified(), (4, 1, 1), [Swap(batch_size=3)], batch=IMAGES)
    assert found["swap.batch3"].value == 3


def test_images_with_equal_signs_share_a_region() -> None:
    images = (
        IMAGES.inputs[[0, 1, 2, 1, 0]]
        * torch.tensor([1.0, 1.0, 1.0, 2.0, 3.0])[:, None, None, None]
    )
    found = score_network(Rectified(), (4, 1, 1), [LinearRegions()], batch=Batch(images))
    assert found["linear_regions"].value == 3


@pytest.mark.parametrize("B", [5, 9, 16, 30, 64, 70])
def test_both_counts_against_sets_of_strings(resnet: nn.Module, B: int) -> None:
    subject = Subject(resnet, (3, 8, 8), batch_size=B, seed=2)
    network = subject.network(Setting())
    signs: list[Tensor] = []

    def recorded(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            signs.append(x > 0)
            return function(x)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("relu", "relu_"):
            patch.setattr(torch, name, recorded(getattr(torch, name)))
        network(subject.input(Setting())[0])
    assert len(signs) == 9
    rows = torch.cat([s.flatten(1) for s in signs], dim=1).int().tolist()
    units = {"".join(map(str, unit)) for unit in zip(*rows, strict=True)}
    found = score_network(
        resnet, (3, 8, 8), [Swap(batch_size=B), LinearRegions()], batch_size=B, seed=2
    )
    assert found["swap" if B == 16 else f"swap.batch{B}"].value == len(units)
    assert found["linear_regions"].value == len({tuple(row) for row in rows})


def test_regularisation_prefers_a_size(resnet: nn.Module) -> None:
    thousands = sum(p.numel() for p in resnet.parameters()) / 1000
    proxies = [Swap(), Swap(thousands, 2.0), Swap(thousands + 1, 2.0)]
    plain, same, other = (
        s.value for s in score_network(resnet, (3, 8, 8), proxies, batch_size=16).values()
    )
    assert math.isclose(same, plain)
    assert math.isclose(other, plain * math.exp(-0.5))


def test_a_network_without_relu_has_no_score() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    found = score_network(model, (4, 1, 1), [Swap(), LinearRegions()], batch_size=3)
    assert all("must have a ReLU" in str(score.error) for score in found.values())


def test_names_and_settings() -> None:
    assert Swap().name == "swap"
    assert Swap(40, 30.5).name == "swap.mu40-sigma30.5"
    assert Swap(40, 30, 8).name == "swap.mu40-sigma30-batch8"
    with pytest.raises(InvalidValueError, match="together"):
        Swap(mu=3)
    with pytest.raises(InvalidValueError, match="positive"):
        Swap(mu=3, sigma=0)
    with pytest.raises(InvalidValueError, match="at least 1"):
        Swap(batch_size=0)
