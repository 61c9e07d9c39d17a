import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.zico import ZiCo
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch


def zero_classifier() -> nn.Module:
    """With weights 0 both classes have probability 1/2: the gradient of w_c is (1/2 - y_c) x."""
    linear = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(linear.weight)
    return nn.Sequential(nn.Flatten(), linear)


def zico(x: list[float], labels: list[int], batches: int = 2) -> Result:
    batch = Batch(torch.tensor(x).reshape(-1, 1, 1, 1), torch.tensor(labels))
    (score,) = score_network(zero_classifier(), (1, 1, 1), [ZiCo(batches)], batch=batch).values()
    return score


def test_two_batches_by_hand() -> None:
    # Gradients (-0.5, 0.5) and (-1.5, 1.5): mean 1 and deviation 0.5 for both weights.
    assert math.isclose(zico([1.0, 3.0], [0, 0]).value, math.log(4), rel_tol=1e-6)


def test_opposite_signs_count_one_each() -> None:
    # Gradients (-0.5, 0.5) and (1.5, -1.5): mean 1 and deviation 1.
    assert math.isclose(zico([1.0, 3.0], [0, 1]).value, math.log(2), rel_tol=1e-6)


def test_three_batches_by_hand() -> None:
    # |g| = 0.5, 1.5, 2.5: mean 1.5, population deviation sqrt(2/3).
    expected = math.log(2 * 1.5 / math.sqrt(2 / 3))
    assert math.isclose(zico([1.0, 3.0, 5.0], [0, 0, 0], 3).value, expected, rel_tol=1e-6)


def test_constant_gradients_have_no_score() -> None:
    score = zico([1.0, 1.0], [0, 0])
    assert math.isnan(score.value)
    assert score.error is not None
    assert "must differ" in score.error


def test_too_few_images_have_no_score() -> None:
    score = zico([1.0], [0])
    assert math.isnan(score.value)
    assert score.error is not None
    assert "at least 2 images" in score.error


def test_against_slow_loops(resnet: nn.Module) -> None:
    subject = Subject(resnet, (3, 8, 8), batch_size=5, seed=4)
    setting = Setting("as_built")
    network = subject.network(setting).requires_grad_()
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    gradients: list[list[Tensor]] = []
    for part in range(2):
        images, labels = subject.input(setting, part, 2)
        network.zero_grad()
        F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        gradients.append(
            [m.weight.grad.flatten().double() for m in layers if m.weight.grad is not None]
        )
    expected = 0.0
    for first, second in zip(*gradients, strict=True):
        total = 0.0
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            if a != b:
                total += (abs(a) + abs(b)) / abs(a - b)
        expected += math.log(total) if total else 0.0
    score = score_network(resnet, (3, 8, 8), [ZiCo()], batch_size=5, seed=4)["zico"]
    assert math.isclose(score.value, expected, rel_tol=1e-6)


def test_the_batches_differ(resnet: nn.Module) -> None:
    subject = Subject(resnet, (3, 8, 8), batch_size=3)
    (first, _), (second, _) = (subject.input(Setting(), part, 2) for part in range(2))
    assert not torch.equal(first, second)


def test_one_batch_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="at least 2"):
        ZiCo(1)
