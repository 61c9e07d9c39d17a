"""Tasks by name."""

from __future__ import annotations

import pytest

from hwnas.errors import UnknownNameError
from hwnas.tasks.catalogue import TASKS, get_task
from hwnas.tasks.task import Logits, TensorSpec


@pytest.mark.parametrize(
    ("name", "num_classes", "in_shape"),
    [
        ("cifar10", 10, (3, 32, 32)),
        ("cifar100", 100, (3, 32, 32)),
        ("ImageNet16-120", 120, (3, 16, 16)),
        ("ImageNet", 1000, (3, 224, 224)),
    ],
)
def test_known(name: str, num_classes: int, in_shape: tuple[int, int, int]) -> None:
    task = get_task(name)
    assert (task.name, task.output) == (name, Logits(num_classes))
    assert task.input == TensorSpec(in_shape)


def test_there_are_four() -> None:
    assert len(TASKS) == 4


def test_misspelt_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ImageNet16-120'"):
        get_task("imagenet16-120")
