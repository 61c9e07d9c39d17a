import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.epsilon import Epsilon, choose_weights
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch

SHAPE = (3, 8, 8)


def epsilon(model: nn.Module, proxy: Epsilon, **settings: Any) -> Result:
    return score_network(model, SHAPE, [proxy], **settings)[proxy.name]


def reference(model: nn.Module, images: Tensor, weights: tuple[float, float]) -> float:
    """Compute the formula with ordinary float64 layers and numpy."""
    outputs = []
    for weight in weights:
        network = Subject(model, SHAPE).network(Setting("as_built")).double()
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
                nn.init.constant_(module.weight, weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        y = network(images.double()).flatten().numpy()
        p = (y - y.min()) / np.ptp(y)
        outputs.append(np.where(p == 0, np.nan, p))
    p = np.array(outputs)
    return float(np.nanmean(np.abs(p[0] - p[1])) / np.nanmean(p))


class Quadratic(nn.Module):
    """For weight a and grey value x: a x + (a x)^2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x).mean(dim=(2, 3)) / 3
        return y + y.square()


class Skipping(nn.Module):
    """A residual block with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + x).mean(dim=(2, 3))


def test_a_ramp_of_four_by_hand() -> None:
    # x = 0, 1/4, 1/2, 3/4. Weight 1: 0, 5/16, 12/16, 21/16. Weight 2: 0, 3/4, 8/4, 15/4.
    first, second = [5 / 21, 12 / 21, 1.0], [3 / 15, 8 / 15, 1.0]
    difference = sum(abs(a - b) for a, b in zip(first, second, strict=True)) / 3
    expected = difference / (sum(first + second) / 6)
    found = epsilon(Quadratic(), Epsilon(weights=(1.0, 2.0), batch_size=4))
    assert math.isclose(found.value, expected, rel_tol=1e-12)


def test_the_ramp_against_a_slow_version(resnet: nn.Module) -> None:
    images = torch.arange(32.0)[:, None, None, None].expand(-1, *SHAPE) / 32
    found = epsilon(resnet, Epsilon((0.01, 2.0)))
    assert math.isclose(found.value, reference(resnet, images, (0.01, 2.0)), rel_tol=1e-6)
    skipping = Skipping()
    found = epsilon(skipping, Epsilon())
    assert found.value > 0.01
    assert math.isclose(found.value, reference(skipping, images, (1e-7, 1.0)), rel_tol=1e-6)


def test_the_users_images_against_a_slow_version(resnet: nn.Module) -> None:
    images = torch.randn(6, *SHAPE)
    found = epsilon(resnet, Epsilon((0.1, 1.0), "batch"), batch=Batch(images))
    assert math.isclose(found.value, reference(resnet, images, (0.1, 1.0)), rel_tol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": 1},
        {"stride": 2, "padding": (1, 0)},
        {"groups": 2, "bias": False},
        {"groups": 4, "padding": "same"},
        {"dilation": 2, "padding": 2, "padding_mode": "circular"},
    ],
    ids=str,
)
def test_every_kind_of_convolution(settings: dict[str, Any]) -> None:
    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)
            self.conv = nn.Conv2d(4, 8, 3, **settings)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(self.first(x) * torch.arange(4)[:, None, None])
            return (y + y.square()).mean(dim=(2, 3))

    images = torch.randn(5, *SHAPE)
    found = epsilon(Convolved(), Epsilon((0.5, 1.0), "batch"), batch=Batch(images))
    assert math.isclose(found.value, reference(Convolved(), images, (0.5, 1.0)), rel_tol=1e-9)


def test_a_fixed_kernel_stays_as_it_is() -> None:
    class Edges(Quadratic):
        def forward(self, x: Tensor) -> Tensor:
            kernel = torch.arange(9, dtype=x.dtype).reshape(3, 1, 1, 3)
            return super().forward(F.conv2d(x, kernel, groups=3))

    images = torch.randn(5, *SHAPE)
    found = epsilon(Edges(), Epsilon((0.5, 1.0), "batch"), batch=Batch(images))
    assert math.isclose(found.value, reference(Edges(), images, (0.5, 1.0)), rel_tol=1e-9)


class Halves(nn.Module):
    """Reads single channels, so that one channel cannot stand for all."""

    def forward(self, x: Tensor) -> Tensor:
        BATCHES.append(len(x))
        return x[:, :4] + x[:, 4:]


BATCHES: list[int] = []


def test_outputs_that_no_image_changes_are_seen_by_three_images() -> None:
    """A layer norm of equal numbers is 0, whatever the image."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(48, 8), Halves(), nn.LayerNorm(4), nn.Linear(4, 3)
    )
    BATCHES.clear()
    found = score_network(model, (3, 4, 4), [Epsilon()])["epsilon"]
    assert math.isnan(found.value)
    assert "with constant weights are equal" in str(found.error)
    assert 3 in BATCHES
    assert BATCHES.count(32) == 1  # one channel for all was tried, and given up here


def test_published_underflows_where_the_default_does_not() -> None:
    def block(c_in: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(c_in, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())

    class Deep(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self:
                x = layer(x)
            return x.square().mean(dim=(2, 3))

    deep = Deep(*[block(3), block(4), block(4)])
    published = epsilon(deep, Epsilon(published=True, weights=(1e-13, 1.0), batch_size=8))
    assert math.isnan(published.value)
    assert "equal" in str(published.error)
    assert epsilon(deep, Epsilon(weights=(1e-13, 1.0), batch_size=8)).error is None


def test_published_agrees_where_nothing_underflows(resnet: nn.Module) -> None:
    double, single = (
        epsilon(resnet, Epsilon((0.1, 1.0), batch_size=8, published=p)).value for p in (False, True)
    )
    assert math.isclose(double, single, rel_tol=1e-3)
    assert double != single


def test_the_weights_do_not_matter(resnet: nn.Module) -> None:
    proxy = Epsilon((0.1, 1.0))
    before = epsilon(resnet, proxy, seed=1).value
    assert math.isfinite(before)
    for parameter in resnet.parameters():
        nn.init.uniform_(parameter)
    assert epsilon(resnet, proxy, seed=2).value == before


def test_settings() -> None:
    assert Epsilon().name == "epsilon"
    assert Epsilon((0.1, 1.0), "batch").name == "epsilon.weights0.1to1-batch"
    assert Epsilon(published=True, batch_size=8).name == "epsilon.published-ramp8"
    for settings, text in (
        ({"weights": (1.0, 1.0)}, "`weights`"),
        ({"batch_size": 1}, "`batch_size`"),
        ({"images": "noise"}, "`images`"),
    ):
        with pytest.raises(InvalidValueError, match=text):
            Epsilon(**settings)


class Power(nn.Module):
    """For weight a and grey value x: (a x)^n."""

    def __init__(self, exponent: int) -> None:
        super().__init__()
        self.conv, self.exponent = nn.Conv2d(1, 1, 1), exponent

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x).mean(dim=(2, 3))
        return y**self.exponent


class Deaf(nn.Module):
    """Its output ignores its input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(len(x), 1)


def test_the_chosen_weights_are_the_extremes_that_all_networks_bear() -> None:
    # (a x)^40 is finite in float64 up to 1e308 and above 0 from 5e-324: |log10 a| < 7.7 or 8.1,
    # x being up to 31/32; (a x)^5 up to |log10 a| of 61; in float32 from 1.4e-45 to 1e38.
    candidates = [10.0**k for k in range(-12, 13)]
    networks = [Power(5), Deaf(), Power(40)]
    assert choose_weights(networks, (1, 4, 4), candidates) == (1e-8, 1e7)
    assert choose_weights(networks[:2], (1, 4, 4), candidates) == (1e-12, 1e12)
    assert choose_weights([Power(5)], (1, 4, 4), candidates, published=True) == (1e-9, 1e7)


def test_no_two_weights_to_choose_from() -> None:
    for networks in ([], [Deaf()], [Power(40)]):
        with pytest.raises(ProxyError, match="`candidates`"):
            choose_weights(networks, (1, 4, 4), [1e-20, 1.0, 1e20])
