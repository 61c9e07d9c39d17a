from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.derivatives.equal_channels import EqualChannels

IMAGES = torch.randn(5, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Layers of constant weights, joined by a function."""

    run: Any

    def __init__(self, fill: Callable[..., Tensor], forward: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.project = nn.Conv2d(3, 8, 1, bias=False)
        self.after_cat = nn.Conv2d(11, 4, 3, stride=2, dilation=2)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.grouped = nn.Conv2d(12, 8, 3, groups=4)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2)
        self.norm, self.norm2, self.group_norm = (
            nn.BatchNorm2d(8),
            nn.BatchNorm2d(8),
            nn.GroupNorm(2, 8),
        )
        self.fc, self.flat = nn.Linear(8, 4), nn.Linear(512, 4)
        self.double()
        self.run = forward
        for name, parameter in self.named_parameters():
            number = torch.tensor(0.5 if "weight" in name else 0.0, dtype=torch.float64)
            holder = self.get_submodule(name.rpartition(".")[0])
            setattr(holder, name.rpartition(".")[2], nn.Parameter(fill(number, *parameter.shape)))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.run(self, x)
        return features


def pooled(x: Tensor) -> Tensor:
    return torch.stack([x.mean((2, 3)).mean(1), x[:, 0].square().mean((1, 2))], dim=1)


def residual(net: Any, x: Tensor) -> Tensor:
    y = F.relu_(net.norm(net.stem(x)))
    z = net.norm2(net.conv(y)).add_(net.project(x))
    return F.max_pool2d(F.relu(z), 3, 2, 1) + F.avg_pool2d(z, 2) - F.silu(z[..., ::2, ::2])


def inverted_residual(net: Any, x: Tensor) -> Tensor:
    y = F.relu6(net.stem(x))
    gate = torch.sigmoid(net.conv(y.mean((2, 3), keepdim=True)))
    return net.depthwise(y * gate)  # type: ignore[no-any-return]


EXPANDED = {
    "residual": residual,
    "inverted residual": inverted_residual,
    "concatenation": lambda net, x: net.after_cat(torch.cat([x, net.stem(x)], dim=1)),
    "all channels in place": lambda net, x: net.stem(x).mul_(2).sub_(0.1).relu_(),
    "pools": lambda net, x: (
        F.avg_pool2d(net.stem(x), 3, 1, 1, count_include_pad=False)
        + F.avg_pool2d(net.stem(x), (3, 3), 1, (1, 1)).square()
        + F.avg_pool2d(net.stem(x), 2, 2, ceil_mode=True).sum((2, 3), keepdim=True)
    ),
    "a pool with a divisor": lambda net, x: F.avg_pool2d(net.stem(x), 3, divisor_override=2),
    "infinite places": lambda net, x: torch.exp(
        -net.conv(net.stem(torch.where(x == x.max(), torch.inf, x)).abs())
    ),
    "a global pool": lambda net, x: F.adaptive_avg_pool2d(net.stem(x), 1).flatten(1),
}
READ = {
    "the head": lambda net, x: net.fc(F.adaptive_avg_pool2d(net.stem(x), 1).flatten(1)),
    "groups of different channels": lambda net, x: pooled(
        net.grouped(torch.cat([x, net.stem(x), x[:, :1]], dim=1))
    ),
    "group norm": lambda net, x: pooled(net.group_norm(net.stem(x))),
    "transposed": lambda net, x: pooled(net.up(net.stem(x))),
    "scaled channels": lambda net, x: pooled(
        net.conv(net.stem(x) * torch.arange(8)[:, None, None])
    ),
    "running statistics": lambda net, x: pooled(
        F.batch_norm(net.stem(x), torch.arange(8.0).double(), torch.ones(8).double())
    ),
    "shuffled channels": lambda net, x: pooled(
        net.conv(net.stem(x).unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2))
    ),
    "single rows": lambda net, x: net.stem(x)[0].mean(2)[:5, :4] + net.fc(x.flatten(1)[:, :8]),
    "a fixed kernel": lambda net, x: pooled(
        F.conv2d(net.stem(x), torch.arange(72.0).double().reshape(8, 1, 3, 3), groups=8)
    ),
}


def half_in_place(net: Any, x: Tensor) -> Tensor:
    y = net.stem(x)
    y.chunk(2, dim=1)[0].sub_(1).relu_()
    return pooled(y)


def one_in_place(net: Any, x: Tensor) -> Tensor:
    y = net.stem(x)
    y[:, 2] = 0.5
    return pooled(y)


def different_in_place(net: Any, x: Tensor) -> Tensor:
    y = net.stem(x)
    y.mul_(torch.arange(8)[:, None, None])
    return pooled(y)


def weight_in_place(net: Any, x: Tensor) -> Tensor:
    net.stem.weight.data[0, 0, 0, 0] = 2.0
    return pooled(net.stem(x))


REFUSED = {
    "half the channels": half_in_place,
    "one channel": one_in_place,
    "by channel": different_in_place,
    "a weight": weight_in_place,
    "a view": lambda net, x: net.flat(net.stem(x).view(5, -1)),
}


def equal_channels(forward: Callable[[Any, Tensor], Tensor]) -> Tensor:
    mode = EqualChannels()
    network = Network(lambda number, *shape: mode.constant(number[None], *shape), forward)
    with torch.no_grad(), mode:
        features: Tensor = network(IMAGES)
    return features


@pytest.mark.parametrize("name", [*EXPANDED, *READ])
def test_values_are_those_of_the_ordinary_pass(name: str) -> None:
    forward = {**EXPANDED, **READ}[name]
    with torch.no_grad():
        expected = Network(Tensor.repeat, forward)(IMAGES)
    torch.testing.assert_close(equal_channels(forward), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EXPANDED)
def test_one_channel_is_kept_for_all(name: str) -> None:
    features = equal_channels(EXPANDED[name])
    assert features.stride(1) == 0 < features.shape[1]


@pytest.mark.parametrize("name", REFUSED)
def test_writing_to_single_channels_is_refused(name: str) -> None:
    with pytest.raises(RuntimeError):
        equal_channels(REFUSED[name])


LANED = {name: EXPANDED[name] for name in EXPANDED if name != "concatenation"} | {
    "the head": READ["the head"],
    "zeros of a shape": lambda net, x: net.conv(torch.zeros_like(net.stem(x)) + net.stem(x)),
    "no weight": lambda _, x: F.relu(x[:, :1]).expand(-1, 4, -1, -1),
    "large maps": lambda net, x: net.conv(
        F.conv2d(net.stem(x), net.conv.weight, net.conv.bias, padding=30)
    ),
}
MISSED = {
    "concatenation": EXPANDED["concatenation"],
    "channels apart": READ["scaled channels"],
    "a dropout": lambda net, x: F.dropout(net.stem(x), 0.5),
    "a scaled weight": lambda net, x: F.conv2d(x, net.stem.weight / net.stem.weight.norm()),
    "rows": READ["shuffled channels"],
    **REFUSED,
}


def run_in_lanes(forward: Callable[[Any, Tensor], Tensor]) -> list[Tensor]:
    mode = EqualChannels(3)

    def fill(number: Tensor, *shape: int) -> Tensor:
        """Give weights .5, 1, 1.5 and biases 0, .1, .2."""
        step = number if number else torch.tensor(0.1, dtype=torch.float64)
        return mode.constant(number + step * torch.arange(3), *shape)

    network = Network(fill, forward)
    with torch.no_grad(), mode:
        features = network(IMAGES)
    return mode.answers(features)


@pytest.mark.parametrize("name", LANED)
def test_lanes_have_the_values_of_passes_of_their_own(name: str) -> None:
    found = run_in_lanes(LANED[name])
    for lane, features in enumerate(found):

        def fill(number: Tensor, *shape: int, lane: int = lane) -> Tensor:
            step = number if number else torch.tensor(0.1, dtype=torch.float64)
            return (number + step * lane).repeat(*shape)

        with torch.no_grad():
            expected = Network(fill, LANED[name])(IMAGES)
        torch.testing.assert_close(features, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MISSED)
def test_what_would_read_one_lane_alone_is_refused(name: str) -> None:
    with pytest.raises(RuntimeError):
        run_in_lanes(MISSED[name])
