import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwnas.proxies.derivatives.loss_gradients import AS_BUILT
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.grasp import Grasp
from hwnas.proxies.saliency import Fisher, GradNorm, Snip
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.tables.result import Result
from hwnas.tasks.task import image_task
from hwnas.typing import Proxy

SHAPE = (3, 8, 8)


def grasp(model: nn.Module) -> Result:
    return score_network(model, SHAPE, [Grasp()], batch_size=5, seed=4)["grasp"]


def gradient_size(model: nn.Module, scale: float) -> float:
    """Give ||g||^2 in float64 after all layers' weights were multiplied by `scale`."""
    subject = Subject(model, SHAPE, batch_size=5, seed=4)
    network = subject.network(AS_BUILT).double()
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer in layers:
            layer.weight *= scale
    weights = [layer.weight.requires_grad_() for layer in layers]
    images, labels = subject.input(AS_BUILT)
    loss = F.cross_entropy(network(images.double()), labels)
    return sum(float(g.square().sum()) for g in torch.autograd.grad(loss, weights))


def test_against_the_slope_of_the_gradients_size(resnet: nn.Module) -> None:
    # d/ds 1/2 ||g(s W)||^2 at s = 1 is g . (H W) = W . (H g).
    step = 1e-6
    slope = (gradient_size(resnet, 1 + step) - gradient_size(resnet, 1 - step)) / (4 * step)
    found = grasp(resnet)
    assert found.error is None
    assert math.isclose(found.value, -slope, rel_tol=1e-3)


def test_layers_before_a_batch_norm_add_the_size_of_their_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-9), nn.ReLU()),
        *(nn.Conv2d(8, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-9), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    assert math.isclose(grasp(model).value, gradient_size(model, 1), rel_tol=1e-3)


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-3, 5e-4, 1e-5])
def test_a_batch_norm_hides_the_scale_but_for_its_epsilon(eps: float) -> None:
    # The outputs of the convolution have a variance of about 0.3.
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=eps), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    )
    step = 1e-6
    slope = (gradient_size(model, 1 + step) - gradient_size(model, 1 - step)) / (4 * step)
    subject = Subject(model, SHAPE, batch_size=5, seed=4)
    images = subject.input(AS_BUILT)[0].double()
    convolution = next(subject.network(AS_BUILT).double().children())
    maps = convolution(images)
    share = float((eps / (maps.var(dim=(0, 2, 3), correction=0) + eps)).max())
    # Above a hundredth nothing is left out.
    left_out = 3 * share * gradient_size(model, 1) if share < 1e-2 else 0.0
    assert math.isclose(grasp(model).value, -slope, rel_tol=1e-3, abs_tol=left_out)


def test_a_constant_gradient_has_no_curvature() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = 0 * self.fc(x.mean(dim=(2, 3)))
            return logits

    assert grasp(Idle()).value == 0


def test_a_network_without_layers_has_no_score() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert "must have a convolution" in str(grasp(model).error)


class Watched(nn.Module):
    """Two layers; counts the runs in training mode, of whatever copy."""

    runs = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Watched.runs += self.training
        logits: torch.Tensor = self.fc(F.relu(self.norm(self.conv(x))).mean(dim=(2, 3)))
        return logits


def test_its_forward_pass_is_that_of_the_proxies_of_the_loss() -> None:
    model = Watched()
    orders: list[list[Proxy]] = [[Grasp(), GradNorm()], [GradNorm(), Grasp()]]
    for proxies in orders:
        Watched.runs = 0
        score_network(model, SHAPE, proxies, batch_size=5)
        assert Watched.runs == 1


class Attention(nn.Module):
    """Attention in one operator of PyTorch, which has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.fc = nn.Linear(3, 12), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            self.all(x.flatten(2).transpose(1, 2)).unflatten(2, (3, 1, 4)).permute(2, 0, 3, 1, 4)
        )
        logits: torch.Tensor = self.fc(F.scaled_dot_product_attention(q, k, v).mean(dim=(1, 2)))
        return logits


class Mixed(nn.Module):
    """Norms with other formulas where they are differentiated twice, beside batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)
        self.groups, self.last = nn.GroupNorm(2, 8), nn.BatchNorm2d(8)
        self.one, self.other = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.gate, self.fc = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)))
        y = self.groups(self.one(x)) * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None]
        logits: torch.Tensor = self.fc((F.relu(self.last(self.other(y))) + x).mean((2, 3)))
        return logits


class Smooth(nn.Sequential):
    """Batch norms and activations with other formulas where they are differentiated twice."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.GELU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
        )


class Inverted(nn.Module):
    """Two inverted residual blocks as MobileNetV2 has them: depthwise convolutions, ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.blocks = nn.ModuleList(nn.Sequential(
            *(nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(inplace=True)),
            nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False),
            *(nn.BatchNorm2d(24), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8)),
        ) for _ in range(2))  # fmt: skip
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def cell() -> nn.Module:
    text = "|nor_conv_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    return NasBench201(channels=8, cells=1).build(parse_cell(text), image_task(4, SHAPE))


@pytest.mark.parametrize("build", [Watched, Attention, Mixed, Smooth, Inverted, cell])
def test_scores_of_the_loss_are_those_without_it(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build()
    proxies: list[Proxy] = [Snip(), Fisher(), GradNorm(), GradNorm(whole=True)]
    alone = score_network(model, SHAPE, proxies, batch_size=5)
    beside = score_network(model, SHAPE, [*proxies, Grasp()], batch_size=5)
    assert beside["grasp"].error is None
    for proxy in proxies:
        assert beside[proxy.name].value == alone[proxy.name].value
