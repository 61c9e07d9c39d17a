from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.derivatives.second_derivatives import FastSecondDerivatives, scale_free_weights


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_batch_norm_has_the_derivatives_of_pytorch(
    layout: torch.memory_format, affine: bool
) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=layout)
    factors = torch.randn_like(images)
    norm = nn.BatchNorm2d(4, eps=0.1, affine=affine).double().requires_grad_(False)
    if affine:
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()

    def derivatives() -> list[Tensor]:
        x = images.clone().requires_grad_()
        y = norm(x)
        (first,) = torch.autograd.grad((y.tanh() * factors).sum(), x, create_graph=True)
        return [y, first, *torch.autograd.grad((first.sin() * factors).sum(), x)]

    expected = derivatives()
    with FastSecondDerivatives():
        found = derivatives()
    torch.testing.assert_close(found, expected)


class Wired(nn.Module):
    """A convolution, and what becomes of its output or its weight."""

    def __init__(self, run: Callable[[nn.Conv2d, nn.BatchNorm2d, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.run(self.conv, self.norm, x)
        return maps.square().mean(dim=(2, 3))


def beside(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    maps: Tensor = conv(x)
    both: Tensor = F.relu(norm(maps)) + maps.detach() * maps.mean()
    return both


@pytest.mark.parametrize(
    ("run", "free"),
    [
        (lambda conv, norm, x: F.relu_(norm(conv(x))), True),
        (lambda conv, norm, x: norm(conv(x)) + x, True),
        (lambda conv, norm, x: conv(norm(x)), False),
        (lambda conv, norm, x: norm(F.relu(conv(x))), False),
        (lambda conv, norm, x: norm(conv(conv(x))), False),
        (lambda conv, norm, x: norm(conv(x)) + 0.1 * conv.weight.sum(), False),
        (lambda conv, norm, x: norm(1e-3 * conv(x)), False),
        (beside, False),
    ],
)
def test_weights_are_scale_free_where_the_loss_ignores_their_scale(
    run: Callable[[nn.Conv2d, nn.BatchNorm2d, Tensor], Tensor], free: bool
) -> None:
    torch.manual_seed(0)
    network, images = Wired(run).double(), torch.randn(4, 3, 6, 6, dtype=torch.float64)
    network.norm.eps = 1e-9
    with FastSecondDerivatives():
        loss = F.cross_entropy(network(images), torch.tensor([0, 1, 2, 0]))
    assert scale_free_weights(loss) == ({network.conv.weight} if free else set())
    # The derivative by the logarithm of the scale.
    (gradient,) = torch.autograd.grad(loss, [network.conv.weight])
    slope = float((gradient * network.conv.weight.detach()).sum())
    assert (abs(slope) < 1e-6) == free


@pytest.mark.parametrize("setting", ["epsilon", "evaluation"])
def test_a_batch_norm_that_lets_the_scale_through_does_not_count(setting: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3, eps=1e-2))
    if setting == "evaluation":
        network.get_submodule("1").eval()
    with FastSecondDerivatives():
        loss = network(torch.randn(2, 3, 4, 4)).square().mean()
    assert scale_free_weights(loss) == set()
