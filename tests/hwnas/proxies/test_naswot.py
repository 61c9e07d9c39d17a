import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.naswot import NasWot
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch

# Signs (+, -), (+, +), (-, -): images 1 and 2 agree in one unit, 1 and 3 too, 2 and 3 in none.
# K = [[2, 1, 1], [1, 2, 0], [1, 0, 2]], det K = 2 * 4 - 1 * 2 - 1 * 2 = 4.
IMAGES = Batch(torch.tensor([[1.0, -1.0], [2.0, 3.0], [-1.0, -0.5]]).reshape(3, 2, 1, 1))


class Rectified(nn.Module):
    def __init__(self, rectify: nn.Module) -> None:
        super().__init__()
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.rectify(x * 1).flatten(1)
        return logits


class Function(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.kind = name

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "function":
                return F.relu(x)
            case "function in place":
                return F.relu(x, inplace=True)
            case "method":
                return x.relu_()
            case "twice":
                return F.relu(x) + torch.relu(x)
        raise AssertionError


def naswot(model: nn.Module, batch: Batch = IMAGES) -> Result:
    in_shape = (batch.inputs.shape[1], batch.inputs.shape[2], batch.inputs.shape[3])
    return score_network(model, in_shape, [NasWot("as_built")], batch=batch)["naswot.as_built"]


@pytest.mark.parametrize(
    "rectify",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        nn.ReLU6(inplace=True),
        nn.LeakyReLU(),
        Function("function"),
        Function("function in place"),
        Function("method"),
    ],
    ids=str,
)
def test_kernel_by_hand(rectify: nn.Module) -> None:
    score = naswot(Rectified(rectify))
    assert score.error is None
    assert math.isclose(score.value, math.log(4), rel_tol=1e-9)


def test_a_relu_counts_as_often_as_it_runs() -> None:
    # det(2 K) = 8 * 4
    assert math.isclose(naswot(Rectified(Function("twice"))).value, math.log(32), rel_tol=1e-9)


def test_images_with_equal_signs_have_no_score() -> None:
    score = naswot(Rectified(nn.ReLU()), Batch(torch.ones(2, 2, 1, 1)))
    assert math.isnan(score.value)
    assert score.error is not None
    assert "singular" in score.error


def test_a_network_without_relu_has_no_score() -> None:
    score = naswot(Rectified(nn.Tanh()))
    assert math.isnan(score.value)
    assert score.error is not None
    assert "must have a ReLU" in score.error


def test_dimension_zero_must_count_images() -> None:
    class Transposed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x.flatten(1).T).T

    score = naswot(Transposed(), Batch(torch.randn(3, 5, 1, 1)))
    assert score.error is not None
    assert "(5, 3)" in score.error


def test_against_bits_of_hooked_modules() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
    )
    subject = Subject(model, (3, 8, 8), batch_size=6, seed=3)
    network, (images, _) = subject.network(Setting()), subject.input(Setting())
    bits: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_pre_hook(lambda _, args: bits.append(args[0].flatten(1) > 0))
    network(images)
    codes = torch.cat(bits, dim=1)
    kernel = [[int((a == b).sum()) for b in codes] for a in codes]
    expected = float(torch.tensor(kernel, dtype=torch.float64).logdet())
    score = score_network(model, (3, 8, 8), [NasWot()], batch_size=6, seed=3)["naswot"]
    assert math.isclose(score.value, expected, rel_tol=1e-9)
