"""Smaller settings for proxies: their texts, tasks and images."""

from __future__ import annotations

import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.reduced import Reduced
from hwnas.tasks.task import image_task


def test_texts_are_read_back() -> None:
    for text, found in (("64", Reduced(64)), ("64,8", Reduced(64, 8))):
        assert Reduced.parse(text) == found
        assert str(found) == text
    assert Reduced.parse("") is None


@pytest.mark.parametrize("text", ["64x64", "0", "64,1", "64,", "-3", " 64", "6٤"])
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidValueError, match="`reduced` must") as raised:
        Reduced.parse(text)
    assert "\n" not in str(raised.value)


def test_both_sides_keep_their_ratio() -> None:
    task = image_task(7, (1, 60, 120))
    assert Reduced(20).task(task).input.shape == (1, 20, 40)
    assert Reduced(20).task(task).output == task.output
    assert Reduced(1).task(image_task(2, (3, 2, 3))).input.shape == (3, 1, 2)


@pytest.mark.parametrize("name", ["segmentsemantic", "ptb", "cifar10"])
def test_what_cannot_be_reduced_says_so(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"`(task|reduced)` must"):
        Reduced(32).task(get_task(name))


def test_a_batch_is_averaged_and_cut() -> None:
    images = torch.arange(2 * 16, dtype=torch.float32).reshape(2, 1, 4, 4)
    small = Reduced(2).batch(Batch(images, torch.tensor([3, 4])), image_task(5, (1, 4, 4)))
    # The mean of rows 0 and 1, columns 0 and 1: (0 + 1 + 4 + 5) / 4.
    assert small.inputs[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert small.labels is not None
    assert small.labels.tolist() == [3, 4]
    few = Reduced(2, 2).batch(Batch(torch.zeros(3, 1, 4, 4)), image_task(5, (1, 4, 4)))
    assert len(few) == 2


def test_there_are_not_more_images_than_without() -> None:
    assert (Reduced(4).batch_size(8), Reduced(4, 2).batch_size(8)) == (8, 2)
    with pytest.raises(InvalidValueError, match="at most the 8 images"):
        Reduced(4, 9).batch_size(8)
