import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.synflow import SynFlow
from hwnas.tables.result import Result


def two_layers(between: nn.Module, bias: bool = False) -> nn.Module:
    first, second = nn.Linear(2, 2, bias=bias), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        second.weight.copy_(torch.tensor([[1.0, -1.0]]))
        if bias:
            first.bias.copy_(torch.tensor([-1.0, 0.0]))
    return nn.Sequential(nn.Flatten(), first, between, nn.ReLU(), second)


def synflow(model: nn.Module, in_shape: tuple[int, int, int] = (2, 1, 1)) -> Result:
    return score_network(model, in_shape, [SynFlow("as_built")])["synflow.as_built"]


class FunctionalNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, torch.ones(2, dtype=x.dtype), torch.full((2,), 9.0, dtype=x.dtype))


@pytest.mark.parametrize("between", [nn.Identity(), nn.BatchNorm1d(2), FunctionalNorm()], ids=str)
def test_two_layers_by_hand(between: nn.Module) -> None:
    # R = (1 + 2) + (3 + 4) = 10 passes each of the two layers.
    score = synflow(two_layers(between))
    assert score.error is None
    assert math.isclose(score.value, math.log(20), rel_tol=1e-12)


def test_a_bias_adds_to_the_flow_of_later_layers_only() -> None:
    # The first layer's weights carry 10 of R = 11, the second layer's 11.
    assert math.isclose(synflow(two_layers(nn.Identity(), True)).value, math.log(21), rel_tol=1e-12)


def test_convolution_by_hand() -> None:
    # 3 x 3 of ones, padded: 4 corners see 4, 4 edges 6, the centre 9 pixels: 49 times |w| = 0.5.
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.constant_(conv.weight, -0.5)
    assert math.isclose(
        synflow(nn.Sequential(conv, nn.Flatten()), (1, 3, 3)).value, math.log(24.5), rel_tol=1e-12
    )


def test_a_flow_beyond_float32_is_no_problem() -> None:
    layers = [nn.Linear(1, 1, bias=False) for _ in range(5)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1e30)
    score = synflow(nn.Sequential(nn.Flatten(), *layers), (1, 1, 1))
    assert math.isclose(score.value, math.log(5) + 150 * math.log(10), rel_tol=1e-7)


def test_a_flow_beyond_float64_has_no_score() -> None:
    layers = [nn.Linear(1, 1, bias=False) for _ in range(11)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1e30)
    score = synflow(nn.Sequential(nn.Flatten(), *layers), (1, 1, 1))
    assert math.isnan(score.value)
    assert score.error is not None
    assert "exceeds float64" in score.error


def test_a_network_that_passes_nothing_has_no_score() -> None:
    model = two_layers(nn.Identity())
    nn.init.zeros_(model.get_parameter("4.weight"))
    assert math.isnan(synflow(model).value)


def test_kaiming_weights_are_a_variant_and_independent_of_the_old_ones() -> None:
    score = score_network(two_layers(nn.Identity()), (2, 1, 1), [SynFlow()])["synflow"]
    other = two_layers(nn.Identity())
    nn.init.constant_(other.get_parameter("1.weight"), 5.0)
    assert score_network(other, (2, 1, 1), [SynFlow()])["synflow"].value == score.value
    assert score.value != synflow(other).value
