from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.torch_source.network_code import network_code
from hwnas.torch_source.structure import structure


class Scaled(nn.Module):
    """A convolution, and a number or tensor by which its maps are scaled."""

    def __init__(self, factor: object = 2.0, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.conv(x) * self.factor
        return maps


def test_values_of_weights_do_not_count() -> None:
    first, second = Scaled(), Scaled()
    assert structure(first) == structure(second) is not None
    assert network_code(first) == network_code(second)


@pytest.mark.parametrize(
    "other", [Scaled(3.0), Scaled(2), Scaled(True), Scaled((2.0,)), Scaled(channels=4)]
)
def test_another_setting_is_another_structure(other: nn.Module) -> None:
    assert structure(other) != structure(Scaled())


def test_code_is_that_of_the_modules_own_settings() -> None:
    texts = [network_code(Scaled(factor)) for factor in (2.0, 3.0, 2.0)]
    assert "* 2.0" in texts[0]
    assert "* 3.0" in texts[1]
    assert texts[2] == texts[0]


@pytest.mark.parametrize("factor", [torch.ones(1), F.relu, lambda x: x, {"a": 1}])
def test_what_may_matter_otherwise_has_no_structure(factor: object) -> None:
    assert structure(Scaled(factor)) is None
    assert structure(nn.Sequential(Scaled(factor))) is None


def hooked() -> nn.Module:
    model = Scaled()
    model.conv.register_forward_hook(lambda *_: None)
    return model


def replaced() -> nn.Module:
    model = Scaled()
    model.forward = lambda x: x  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize("make", [hooked, replaced])
def test_hooks_and_replaced_methods_have_no_structure(make: Callable[[], nn.Module]) -> None:
    assert structure(make()) is None
