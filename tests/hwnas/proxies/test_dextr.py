import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.proxies import dextr
from hwnas.proxies.dextr import Dextr, ExtrinsicCurvature, _circle
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.subject import Subject
from hwnas.tasks.batch import Batch


def curvature(model: nn.Module, shape: tuple[int, ...], angles: int = 8) -> float:
    return ExtrinsicCurvature(angles).measure(Subject(model, shape, batch_size=2, seed=3))


def test_an_isometry_has_the_curvature_of_the_circle() -> None:
    # A circle of radius sqrt(d) bends by 1 / sqrt(d).
    layer = nn.Linear(12, 12, bias=False)
    nn.init.orthogonal_(layer.weight)
    found = curvature(nn.Sequential(nn.Flatten(), layer), (3, 2, 2))
    assert found == pytest.approx(1 / math.sqrt(12), rel=1e-5)


def test_against_differences_in_float64() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5)
    )
    subject = Subject(model, (3, 4, 4), batch_size=2, seed=3)
    points = _circle((3, 4, 4), 6, subject.generator("circle"))
    start, quarter = (points(torch.tensor(t)).double() for t in (0.0, math.pi / 2))
    network, h = model.double(), 1e-3
    with torch.no_grad():
        before, here, after = (
            network(start * math.cos(t) + quarter * math.sin(t)) for t in (-h, 0.0, h)
        )
    v, a = (after - before) / (2 * h), (after - 2 * here + before) / h**2
    bent = v.square().sum(1) * a.square().sum(1) - (v * a).sum(1).square()
    expected = float((bent.sqrt() / v.norm(dim=1) ** 3).mean())
    assert curvature(model.float(), (3, 4, 4), 6) == pytest.approx(expected, rel=1e-3)


def test_both_ways_give_the_same_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.ReLU())
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    monkeypatch.setattr(dextr, "_nested", lambda *_: pytest.fail("PyTorch's forward mode ran"))
    found = curvature(model, (3, 6, 6))
    monkeypatch.undo()
    monkeypatch.setattr(dextr, "_carried", lambda *_: None)
    assert found == pytest.approx(curvature(model, (3, 6, 6)), rel=1e-4)


def test_a_network_that_uses_the_number_of_images_is_left_to_pytorch() -> None:
    class Divided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = torch.relu(self.conv(x)) / x.shape[0]
            return maps.mean(dim=(2, 3))

    model = Divided()
    expected = curvature(nn.Sequential(model.conv, nn.ReLU(), nn.AvgPool2d(2)), (3, 4, 4))
    assert curvature(model, (3, 4, 4)) == pytest.approx(8 * expected, rel=1e-4)


class Wide(nn.Module):
    """Gives as many numbers an image as there are images, squared."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x, x.shape[0]).flatten(1)


class Gram(nn.Module):
    """Gives products of all images."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1)
        return nn.functional.linear(y, y)


@pytest.mark.parametrize("last", [Wide(), Gram()])
def test_outputs_whose_shape_depends_on_the_images_are_left_to_pytorch(
    last: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), last)
    found = curvature(model, (3, 12, 12), 4)
    monkeypatch.setattr(dextr, "_carried", lambda *_: None)
    assert found == curvature(model, (3, 12, 12), 4) > 0


def test_joins_both_parts() -> None:
    x = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    conv = nn.Conv2d(3, 2, 1, bias=False)
    model = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    rows = conv.weight.detach().double()[..., 0, 0] @ x[0].double().flatten(1)
    s = np.linalg.svd(rows.numpy(), compute_uv=False)
    # The pooled map has fewer positions than channels.
    S = math.log1p(s[-1] / s[0])
    subject = Subject(model, (3, 4, 5), Batch(x), seed=0)
    K = math.log1p(ExtrinsicCurvature().measure(subject))
    found = score_network(model, (3, 4, 5), [Dextr()], batch=Batch(x))["dextr"]
    assert found.value == pytest.approx(S * K / (S + K), rel=1e-4)


def test_what_has_no_score() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            nothing: Tensor = 0 * self.conv(x).mean(dim=(2, 3))
            return nothing

    found = score_network(Constant(), (3, 4, 4), [Dextr()])["dextr"]
    assert "must change as the input turns" in str(found.error)
    with pytest.raises(InvalidValueError, match="at least 2, but got 1"):
        Dextr(angles=1)
    assert Dextr(angles=4).name == "dextr.4angles"
