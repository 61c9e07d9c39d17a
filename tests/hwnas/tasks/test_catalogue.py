"""Tasks by name."""

from __future__ import annotations

import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.tasks.catalogue import TASKS, get_task, name_of, sized_task
from hwnas.tasks.task import (
    AllOutputs,
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    Task,
    TensorSpec,
)

KNOWN: dict[str, tuple[Output, tuple[int, ...]]] = {
    "cifar10": (Logits(10), (3, 32, 32)),
    "cifar100": (Logits(100), (3, 32, 32)),
    "ImageNet16-120": (Logits(120), (3, 16, 16)),
    "ImageNet": (Logits(1000), (3, 224, 224)),
    "cifar100-224": (Logits(100), (3, 224, 224)),
    "flowers102": (Logits(102), (3, 224, 224)),
    "chaoyang": (Logits(4), (3, 224, 224)),
    "ptb": (NextToken(10_000), (35,)),
    # The published settings of TransNAS-Bench-101; nine tiles of 64 x 64 pixels for jigsaw.
    "class_object": (Logits(75), (3, 256, 256)),
    "class_scene": (Logits(47), (3, 256, 256)),
    "jigsaw": (Logits(1000), (3, 192, 192)),
    "room_layout": (Regression(9), (3, 256, 256)),
    "segmentsemantic": (Map(17), (3, 256, 256)),
    "normal": (RegressionMap(3), (3, 256, 256)),
    "autoencoder": (RegressionMap(3), (3, 256, 256)),
}


@pytest.mark.parametrize("name", TASKS)
def test_known(name: str) -> None:
    output, in_shape = KNOWN[name]
    text = ("tokens", 10_000) if name == "ptb" else ()
    assert get_task(name) == Task(name, TensorSpec(in_shape, *text), output)


def test_every_known_one_is_there() -> None:
    assert list(TASKS) == list(KNOWN)


def test_misspelt_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ImageNet16-120'"):
        get_task("imagenet16-120")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("1x96x96:7", Task("", TensorSpec((1, 96, 96)), Logits(7))),
        ("3x64x64:map5", Task("", TensorSpec((3, 64, 64)), Map(5))),
        ("3x64x64:outputs", Task("", TensorSpec((3, 64, 64)), AllOutputs())),
        ("64:outputs:300", Task("", TensorSpec((64,), "tokens", 300), AllOutputs())),
        ("2x1000:map4", Task("", TensorSpec((2, 1000), "signal"), Map(4))),
        ("2x1000:numbers3", Task("", TensorSpec((2, 1000), "signal"), Regression(3))),
        ("3x64x64:numbermap1", Task("", TensorSpec((3, 64, 64)), RegressionMap(1))),
        ("64:4:300", Task("", TensorSpec((64,), "tokens", 300), Logits(4))),
        ("64:numbers2:300", Task("", TensorSpec((64,), "tokens", 300), Regression(2))),
        ("64:next:300", Task("", TensorSpec((64,), "tokens", 300), NextToken(300))),
    ],
)
def test_sizes_name_every_answer(name: str, task: Task) -> None:
    assert name_of(task) == name
    assert Task.from_dict(task.as_dict()) == task
    assert get_task(name).settings == task.settings
    assert get_task(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "3x8x8:maps5",
        "3x8x8:map",
        "3x8x8:map0",
        "3x8x8:next",
        "64:next",
        "64:map5:300",
        "3x8x8:outputs3",
    ],
)
def test_sizes_with_another_answer_are_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^`(classes|output|vocabulary)` must be"):
        get_task(name)


def test_next_tokens_without_a_vocabulary_say_how_they_are_written() -> None:
    with pytest.raises(InvalidValueError, match="classes=next,vocabulary=30000 in the text of a"):
        sized_task((64,), "next")
