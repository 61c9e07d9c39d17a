import copy
import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from hwnas.networks.layers import standard_normal_weights_
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.zen import Perturbation, PerturbedFeatures, Zen
from hwnas.seeding import derive_seed
from hwnas.typing import Signals

SHAPE = (3, 8, 8)


class Stem(nn.Module):
    """One convolution with a batch norm, and global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def features(self, x: Tensor) -> Tensor:
        maps: Tensor = self.bn(self.conv(x))
        return maps.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean(dim=(2, 3))


def zen(model: nn.Module, proxy: Zen | None = None) -> float:
    proxy = proxy or Zen()
    found = score_network(model, SHAPE, [proxy], batch_size=6, seed=3)[proxy.name]
    assert found.error is None
    return found.value


def prepared(model: Stem) -> tuple[Stem, Tensor, Tensor]:
    """Give the network with its weights in float64, the images and the changed images."""
    network = Subject(model, SHAPE, seed=3).network(Setting("as_built"))
    assert isinstance(network, Stem)
    standard_normal_weights_(network, derive_seed(3, "standard normal"))
    generator = Subject(model, SHAPE, seed=3).generator("perturbation")
    like = torch.empty(6, *SHAPE, memory_format=torch.channels_last)
    first, second = (torch.empty_like(like).normal_(generator=generator) for _ in range(2))
    return network.double(), first.double(), (first + 0.01 * second).double()


def test_against_a_slow_version() -> None:
    network, before, after = prepared(Stem())
    with torch.no_grad():
        change = (network.features(before) - network.features(after)).abs().sum() / 6
        inputs = network.conv(before)
    variances = [float(inputs[:, c].flatten().var()) for c in range(4)]
    expected = math.log(float(change)) + math.log(math.sqrt(sum(variances) / 4))
    assert math.isclose(zen(Stem()), expected, rel_tol=1e-4)


def test_published_takes_the_running_variance_of_two_passes() -> None:
    network, before, after = prepared(Stem())
    with torch.no_grad():
        change = (network.features(before) - network.features(after)).abs().sum() / 6
    assert network.bn.running_var is not None
    expected = math.log(float(change)) + math.log(float(network.bn.running_var.mean())) / 2
    assert math.isclose(zen(Stem(), Zen(published=True)), expected, rel_tol=1e-4)


def test_both_formulas_by_hand() -> None:
    found = Perturbation(math.e, ((2.0, 3.0), (5.0, 7.0)))
    signals = cast(Signals, {PerturbedFeatures(): found})
    assert math.isclose(Zen().score(signals), 1 + math.log(10) / 2)
    running = (0.81 + 0.09 * 2 + 0.1 * 3) * (0.81 + 0.09 * 5 + 0.1 * 7)
    assert math.isclose(Zen(published=True).score(signals), 1 + math.log(running) / 2)


def test_the_state_of_the_network_does_not_matter() -> None:
    used = Stem()
    used(torch.randn(4, *SHAPE))
    assert zen(used) == zen(Stem())


def test_a_batch_norm_more_changes_nothing_but_rounding() -> None:
    # Normalising again divides by about 1, and its variance is about 1: both logarithms are 0.
    once = Stem()
    twice = copy.deepcopy(once)
    twice.bn = nn.Sequential(nn.BatchNorm2d(4, eps=1e-12), nn.BatchNorm2d(4))  # type: ignore[assignment]
    assert math.isclose(zen(once), zen(twice), abs_tol=0.01)
    assert zen(once, Zen(published=True)) - zen(twice, Zen(published=True)) < 0.01


def test_the_map_before_pooling_is_taken(resnet: nn.Module) -> None:
    pooled = nn.Sequential(resnet.get_submodule("conv"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    bare = nn.Sequential(resnet.get_submodule("conv"), nn.Flatten())
    assert zen(pooled) == zen(bare)
    assert zen(resnet) != zen(bare)


@pytest.mark.parametrize("tail", [nn.Dropout(0.5), nn.Identity()], ids=str)
def test_dropout_is_no_change_of_the_input(tail: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), tail, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = score_network(model, SHAPE, [Zen()], batch_size=64)["zen"].value
    plain = score_network(nn.Sequential(model[0], nn.Flatten()), SHAPE, [Zen()], batch_size=64)
    # Half of the units, doubled.
    assert math.isclose(found, plain["zen"].value, abs_tol=0.05)


def test_networks_that_have_no_score() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    assert "feature maps" in str(score_network(flat, SHAPE, [Zen()], batch_size=4)["zen"].error)

    class Cut(Stem):
        def features(self, x: Tensor) -> Tensor:
            return super().features(x) * 0

    found = score_network(Cut(), SHAPE, [Zen()], batch_size=4)["zen"]
    assert math.isnan(found.value)
    assert "does not change" in str(found.error)


def test_one_variance_a_batch_norm(resnet: nn.Module) -> None:
    found = PerturbedFeatures().measure(Subject(resnet, SHAPE, batch_size=4))
    assert len(found.variances) == 4
