from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import jvp

from hwnas.proxies.derivatives.second_tangents import NoRuleError, SecondTangents
from hwnas.proxies.derivatives.written_out_norms import WrittenOutNorms

B = 4


class Network(nn.Module):
    """Layers that are joined by a function."""

    def __init__(self, join: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, stride=2, groups=2)
        settings: Any = {"track_running_stats": False}
        self.norm, self.plain = (
            nn.BatchNorm2d(6, **settings),
            nn.BatchNorm2d(6, affine=False, **settings),
        )
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.fc, self.join = nn.Linear(6, 5), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def residual(net: Any, x: Tensor) -> Tensor:
    y = F.relu(net.norm(net.stem(x)))
    z = net.plain(net.conv(F.relu(y))) + F.avg_pool2d(y, 3, 2) * 0.5
    z = sum([z, torch.zeros_like(z)], start=z) / 2.0
    return net.fc(F.adaptive_avg_pool2d(z.relu(), 1).flatten(1))  # type: ignore[no-any-return]


def means(net: Any, x: Tensor) -> Tensor:
    maps: Tensor = net.stem(x)
    return maps.mean(dim=(2, 3))


KNOWN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "residual": residual,
    "means": lambda net, x: net.fc(net.norm(net.stem(x)).mean(dim=(2, 3))),
    "in place": lambda net, x: F.relu(net.norm(net.stem(x)), inplace=True).view(x.size(0), -1),
}
UNKNOWN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "another function": lambda net, x: torch.tanh(net.stem(x)),
    "a square": lambda net, x: net.stem(x) * net.stem(x),
    "a constant is added": lambda net, x: net.stem(x) + 1.0,
    "a mean over images": lambda net, x: net.stem(x).mean(0),
    "dropout": lambda net, x: F.dropout(net.stem(x)),
    "weights are of the input": lambda net, x: F.linear(means(net, x), means(net, x)),
    "weights alone are of the input": lambda net, x: F.linear(net.fc.weight, means(net, x)),
    "a bias is of the input": lambda net, x: F.linear(
        means(net, x), torch.ones(12, 6).double(), x.mean(dim=(1, 2, 3))
    ),
    "a number of another axis": lambda net, x: torch.flatten(net.stem(x), 0, 1),
}


def path() -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Give points on curves, and values, first and second derivatives at 0."""
    generator = torch.Generator().manual_seed(0)
    start, speed, bend = torch.randn(3, B, 3, 7, 6, dtype=torch.float64, generator=generator)
    jets = torch.cat([start, speed, bend])
    return lambda t: start + t * speed + t * t * bend / 2, jets


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own formulas
@pytest.mark.parametrize("name", KNOWN)
def test_against_nested_forward_derivatives(name: str) -> None:
    network, (points, jets) = Network(KNOWN[name]).double().requires_grad_(False), path()
    with SecondTangents(jets) as tangents:
        answer = network(jets)
    found = tangents.parts(answer)
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)

    def speed(t: Tensor) -> Tensor:
        velocity: Tensor = jvp(lambda s: network(points(s)), (t,), (one,))[1]
        return velocity

    with WrittenOutNorms():
        v, a, *_ = jvp(speed, (zero,), (one,))
    for got, expected in zip(found, (network(points(zero)), v, a), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert float(found[2].abs().max()) > 1e-3


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_has_no_rule_says_so(name: str) -> None:
    network, (_, jets) = Network(UNKNOWN[name]).double().requires_grad_(False), path()
    with SecondTangents(jets), pytest.raises(NoRuleError):
        network(jets)
