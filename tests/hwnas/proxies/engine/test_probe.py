from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import ProxyError
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.other_functions import run_other_functions
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject

SHAPE = (3, 8, 8)


def with_norm(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), norm, nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )


def modes() -> int:
    return torch._C._len_torch_function_stack()


class Norm(nn.Module):
    """A normalisation as a function; it remembers whether its input was contiguous."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = {
            "group": lambda: F.group_norm(x, 2),
            "group by keyword": lambda: F.group_norm(input=x, num_groups=2),
            "torch.group": lambda: torch.group_norm(x, 3),
            "layer": lambda: F.layer_norm(x, [6, 8, 8]),
            "instance": lambda: F.instance_norm(x),
            "RMS": lambda: F.rms_norm(x, [8, 8]),
            "response": lambda: F.local_response_norm(x, 3),
        }[self.name]()
        return result


NORMS: list[nn.Module] = [
    *map(
        Norm, ["group", "group by keyword", "torch.group", "layer", "instance", "RMS", "response"]
    ),
    nn.GroupNorm(2, 6),
    nn.InstanceNorm2d(6),
    nn.LayerNorm([6, 8, 8]),
    nn.RMSNorm([8, 8]),
    nn.LocalResponseNorm(3),
]


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: getattr(norm, "name", str(norm)))
def test_normalisations_are_found_in_all_forms(norm: nn.Module) -> None:
    subject = Subject(with_norm(norm), SHAPE)
    assert subject._probe.others
    assert subject._probe.layout is torch.channels_last


def test_batch_norms_are_none_of_them() -> None:
    assert not Subject(with_norm(nn.BatchNorm2d(6)), SHAPE)._probe.others


def test_their_inputs_are_contiguous_and_nothing_else_changes() -> None:
    seen: list[bool] = []

    class Watching(nn.GroupNorm):
        def forward(self, x: Tensor) -> Tensor:
            assert modes() == 1
            result = super().forward(x)
            seen.append(result.is_contiguous())
            return result

    network = with_norm(Watching(2, 6))
    images = torch.randn(2, *SHAPE).contiguous(memory_format=torch.channels_last)
    expected = with_norm_values(network, images)
    run_other_functions(network)
    assert torch.allclose(network(images), expected, atol=1e-6)
    assert seen == [True]
    assert modes() == 0


def with_norm_values(network: nn.Sequential, images: Tensor) -> Tensor:
    maps = network[0](images)
    rows = maps.reshape(2, 2, -1)
    mean, variance = rows.mean(dim=2, keepdim=True), rows.var(dim=2, correction=0, keepdim=True)
    normalised = ((rows - mean) / (variance + 1e-5).sqrt()).reshape(maps.shape)
    values: Tensor = network[2:](normalised)
    return values


def test_the_mode_is_left_when_the_network_fails() -> None:
    network = with_norm(nn.GroupNorm(2, 6))
    run_other_functions(network)
    with pytest.raises(RuntimeError):
        network(torch.randn(2, 5, 8, 8))
    assert modes() == 0


def test_the_tangent_kernel_of_group_norms() -> None:
    """The number is that of plain autograd, image by image, below."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )
    shape = (3, 16, 16)
    score = score_network(network, shape, make_proxies(["ntk_cond"]), batch_size=8)["ntk_cond"]
    subject = Subject(network, shape, None, 8, 0)
    images, _ = subject.input(Setting(mode="eval"))
    network.load_state_dict(subject.network(Setting(mode="eval")).state_dict())
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    rows = []
    for image in images.contiguous():
        gradients = torch.autograd.grad(network(image[None]).sum(), weights)
        rows.append(torch.cat([g.flatten() for g in gradients]).double())
    values = torch.linalg.eigvalsh(torch.stack(rows) @ torch.stack(rows).T)
    assert float(values[-1] / values[0]) == pytest.approx(657.797, rel=1e-5)
    assert score.value == pytest.approx(657.797, rel=1e-5)


def test_a_copy_that_would_run_the_original_is_refused() -> None:
    network = with_norm(nn.BatchNorm2d(6))

    class Outer(nn.Module):
        network: nn.Module

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = Outer.network(x)
            return logits

    Outer.network = network
    outer = Outer()
    outer.register_module("held", network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ProxyError, match="runs parameters of the original"):
        score_network(outer, SHAPE, make_proxies(["grad_norm"]), batch_size=4)
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
