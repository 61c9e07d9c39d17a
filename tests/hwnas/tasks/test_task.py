"""What a task may be, and the texts and values that it is kept as."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
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
    image_classes,
    image_task,
)

WORDS = TensorSpec((64,), "tokens", 1000)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"shape": (3, 32)}, "`shape` of image must be (C, H, W)"),
        ({"shape": (3, 0, 32)}, "but got (3, 0, 32)"),
        ({"shape": (3, 8, 8), "kind": "tokens", "vocabulary": 9}, "must be (T)"),
        ({"shape": (8,), "kind": "signal"}, "must be (C, T)"),
        ({"shape": (8,), "kind": "tokens"}, "`vocabulary` must be"),
        ({"shape": (8,), "kind": "tokens", "vocabulary": 0}, "got 0 for tokens"),
        ({"shape": (3, 8, 8), "vocabulary": 9}, "got 9 for image"),
    ],
)
def test_impossible_inputs_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(named)):
        TensorSpec(**settings)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 3, 32, 32), "leave the batch out."),
        ((3, 8, 32, 16), "give 24,32,16, and let the network begin with x.unflatten(1, (3, 8))."),
        ((2, 3, 8, 32, 32), "leave the batch out."),
    ],
)
def test_what_to_do_with_a_volume_is_said(shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        TensorSpec.of(shape)
    assert str(refused.value).endswith(told)


def test_a_misspelt_kind_is_suggested() -> None:
    kind: Any = "token"
    with pytest.raises(UnknownNameError, match="Did you mean 'tokens'"):
        TensorSpec((8,), kind, 9)


@pytest.mark.parametrize("output", [Logits, Map, NextToken, Regression, RegressionMap])
def test_an_output_has_at_least_one_number(output: Any) -> None:
    with pytest.raises(InvalidValueError, match="must be at least 1, but got 0"):
        output(0)


@pytest.mark.parametrize(
    ("spec", "output"),
    [
        (TensorSpec((1, 96, 96)), Logits(7)),
        (TensorSpec((3, 8, 8)), Map(21)),
        (WORDS, Logits(4)),
        (WORDS, NextToken(1000)),
        (TensorSpec((2, 100), "signal"), Regression(3)),
        (TensorSpec((3, 8, 8)), RegressionMap(3)),
        (TensorSpec((3, 8, 8)), AllOutputs()),
    ],
)
def test_a_task_survives_json(spec: TensorSpec, output: Output) -> None:
    task = Task("mine", spec, output)
    assert Task.from_dict(json.loads(json.dumps(task.as_dict()))) == task


def test_classes_of_images_are_kept_as_ever() -> None:
    task = image_task(7, (1, 96, 96), "mine")
    assert task.as_dict() == {"name": "mine", "num_classes": 7, "in_shape": (1, 96, 96)}
    assert image_classes(task, "me") == (7, (1, 96, 96))


@pytest.mark.parametrize(
    "values",
    [{}, {"name": "a", "output": {}}, {"name": "a", "output": {"Logits": 1}}, {"in_shape": 3}],
)
def test_foreign_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="`task` must be what"):
        Task.from_dict(values)
