import math

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.epe_nas import EpeNas
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch

K = 1e-5


class Squared(nn.Module):
    """The gradient of the sum of logits by the image x is 2x / classes * classes = 2x."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        total = x.square().flatten(1).sum(dim=1, keepdim=True)
        return (total / self.classes).expand(-1, self.classes)


def epe_nas(classes: int, rows: list[list[float]], labels: list[int]) -> Result:
    images = torch.tensor(rows).reshape(len(rows), 1, 1, -1)
    batch = Batch(images, torch.tensor(labels))
    shape = (1, 1, images.shape[3])
    return score_network(Squared(classes), shape, [EpeNas()], batch=batch)["epe_nas"]


# Correlations: rows 0 and 1 are orthogonal after centring, rows 0 and 2 opposite.
ROWS = [[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [-2.0, 2.0, 0.0, 0.0], [3.0, -3.0, 0.5, 0.5]]


def test_few_classes_by_hand() -> None:
    # Class 0 holds rows 0 and 1: correlations 1, 0, 0, 1. Class 2 holds rows 2 and 3.
    r = float(np.corrcoef(ROWS[2], ROWS[3])[0, 1])
    first = 2 * math.log(1 + K) + 2 * math.log(K)
    second = 2 * math.log(1 + K) + 2 * math.log(abs(r) + K)
    found = epe_nas(3, ROWS, [0, 0, 2, 2])
    assert math.isclose(found.value, abs(first) + abs(second), rel_tol=1e-5)


def test_a_class_of_one_image_correlates_with_itself() -> None:
    found = epe_nas(3, ROWS[:1], [1])
    assert math.isclose(found.value, math.log(1 + K), rel_tol=1e-3)


def test_many_classes_by_hand() -> None:
    r = float(np.corrcoef(ROWS[2], ROWS[3])[0, 1])
    first = (2 * math.log(1 + K) + 2 * math.log(K)) / 2
    second = (2 * math.log(1 + K) + 2 * math.log(abs(r) + K)) / 2
    found = epe_nas(101, [*ROWS, ROWS[0]], [7, 7, 100, 100, 4])
    # Both orders of the one pair, over two classes.
    assert math.isclose(found.value, abs(first - second), rel_tol=1e-5)


def test_many_classes_of_one_image_each_have_no_score() -> None:
    found = epe_nas(101, ROWS, [0, 1, 2, 3])
    assert math.isnan(found.value)
    assert "two images of one class" in str(found.error)


def test_constant_gradients_have_no_score() -> None:
    assert math.isnan(epe_nas(3, [[1.0, 1.0], [1.0, 2.0]], [0, 0]).value)
