import math

import torch
from torch import nn

from hwnas.networks.layers import kaiming_weights_, weight_layers


def test_weight_layers_are_convolutions_and_linear_layers() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv1d(4, 4, 1), nn.Linear(4, 2)
    )
    assert list(weight_layers(model)) == ["0", "2", "3"]


def test_kaiming_weights_have_variance_two_over_fan_in() -> None:
    model = nn.Sequential(nn.Conv2d(32, 64, 3, groups=2), nn.BatchNorm2d(64), nn.Linear(400, 100))
    conv, norm, linear = model
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(linear, nn.Linear)
    nn.init.constant_(norm.weight, 3.0)
    nn.init.constant_(norm.running_mean, 3.0)  # type: ignore[arg-type]
    kaiming_weights_(model, seed=0)
    assert math.isclose(float(conv.weight.detach().std()), math.sqrt(2 / (16 * 9)), rel_tol=0.03)
    assert math.isclose(float(linear.weight.detach().std()), math.sqrt(2 / 400), rel_tol=0.03)
    assert conv.bias is not None
    assert not conv.bias.any()
    assert norm.running_mean is not None
    assert not norm.running_mean.any()
    assert bool((norm.weight == 1).all())


def test_kaiming_weights_depend_on_the_seed_only() -> None:
    first, second, third = (nn.Linear(5, 5) for _ in range(3))
    for model, seed in ((first, 1), (second, 1), (third, 2)):
        kaiming_weights_(model, seed)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, third.weight)
