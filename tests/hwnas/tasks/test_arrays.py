"""Tasks and batches of a user's arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas.tasks.arrays import batch_of_arrays, in_turn, task_of_arrays
from hwnas.tasks.task import (
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    TensorSpec,
)

IMAGES = np.zeros((6, 1, 4, 5), dtype=np.uint8)
CLASSES = np.array([0, 2, 1, 0, 2, 0])
TOKENS = np.arange(30).reshape(6, 5)


@pytest.mark.parametrize(
    ("inputs", "labels", "spec", "output"),
    [
        (IMAGES, CLASSES, TensorSpec((1, 4, 5)), Logits(3)),
        (IMAGES.astype(np.float16), CLASSES.astype(np.uint8), TensorSpec((1, 4, 5)), Logits(3)),
        (IMAGES, np.full((6, 4, 5), 6), TensorSpec((1, 4, 5)), Map(7)),
        (np.zeros((6, 2, 9)), np.zeros(6), TensorSpec((2, 9), "signal"), Regression(1)),
        (np.zeros((6, 2, 9)), np.zeros((6, 3)), TensorSpec((2, 9), "signal"), Regression(3)),
        (IMAGES, np.zeros((6, 2, 4, 5)), TensorSpec((1, 4, 5)), RegressionMap(2)),
        (np.zeros((6, 4)), CLASSES, TensorSpec((4,), "vector"), Logits(3)),
        (np.zeros((6, 4)), np.zeros((6, 2)), TensorSpec((4,), "vector"), Regression(2)),
        (np.arange(30).reshape(6, 5), CLASSES, TensorSpec((5,), "tokens", 30), Logits(3)),
        (TOKENS, TOKENS[:, ::-1], TensorSpec((5,), "tokens", 30), NextToken(30)),
    ],
)
def test_arrays_say_what_the_task_is(
    inputs: Any, labels: Any, spec: TensorSpec, output: Output
) -> None:
    task = task_of_arrays(inputs, labels, name="mine")
    assert (task.name, task.input, task.output) == ("mine", spec, output)
    batch = batch_of_arrays(inputs, labels)
    batch.check(spec)
    assert batch.labels is not None
    assert batch.labels.shape[1:] == task.label_shape
    assert batch.labels.is_floating_point() == isinstance(output, (Regression, RegressionMap))


def test_what_arrays_do_not_say_is_given() -> None:
    assert task_of_arrays(IMAGES, classes=9).output == Logits(9)
    assert task_of_arrays(IMAGES, CLASSES, classes=9).output == Logits(9)
    words = np.zeros((6, 5), dtype=np.int64)
    assert task_of_arrays(words, CLASSES, vocabulary=40).input.vocabulary == 40


@pytest.mark.parametrize(
    ("inputs", "labels", "named"),
    [
        (np.zeros(6), CLASSES, "`inputs` must be"),
        (np.zeros((6, 4), dtype=bool), CLASSES, "`inputs` must be"),
        (np.zeros((6, 4)), np.zeros((6, 4, 1)), r"`labels` of real numbers must be"),
        (np.zeros((6, 4)), np.zeros((6, 4), dtype=np.int64), r"must be integers \(N,\), or real"),
        (np.zeros((0, 1, 4, 4)), CLASSES[:0], "`inputs` must be"),
        (IMAGES.astype(np.int64), CLASSES, "of int64"),
        (np.full((6, 5), -1), CLASSES, "tokens from 0 on"),
        (np.full((6, 1, 4, 5), np.nan), CLASSES, "finite"),
        (IMAGES, CLASSES[:5], r"`labels` must be those of all 6 inputs, but have shape \(5,\)"),
        (IMAGES, CLASSES - 1, "from 0 on"),
        (IMAGES, np.zeros((6, 5, 4), dtype=np.int64), r"or \(N, 4, 5\) of each position"),
        (IMAGES, np.array(["a"] * 6), "`labels` must be"),
        (IMAGES, None, "`labels` must be given, or `classes`"),
        (IMAGES, 0 * CLASSES, "two classes or more, but all are 0: say `classes`"),
        (
            IMAGES,
            np.zeros((6, 2, 5, 4)),
            r"\(N, n, 4, 5\) of each position, but got \(6, 2, 5, 4\)",
        ),
        (IMAGES, np.full((6, 2), np.nan), "`labels` must be finite"),
        (TOKENS, TOKENS + 1, "in 0 to 29, or -100 where there is none, but got 1 to 30"),
        (TOKENS, np.zeros((6, 1, 5)), "of real numbers must be"),
    ],
)
def test_other_arrays_are_refused(inputs: Any, labels: Any, named: str) -> None:
    with pytest.raises(InvalidValueError, match=named):
        task_of_arrays(inputs, labels)


def test_labels_beyond_the_classes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="`labels` must be below 2, but got 2"):
        task_of_arrays(IMAGES, CLASSES, classes=2)
    with pytest.raises(InvalidValueError, match="above every token, but got 29 and 29"):
        task_of_arrays(TOKENS, CLASSES, vocabulary=29)


def test_bytes_have_mean_0_and_deviation_1_in_each_channel() -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4)).astype(np.uint8)
    bytes_[:, 2] = 7
    expected = bytes_.astype(np.float64)
    for channel in range(2):
        values = expected[:, channel]
        expected[:, channel] = (values - values.mean()) / values.std()
    expected[:, 2] = 0
    np.testing.assert_allclose(batch_of_arrays(bytes_).inputs, expected, atol=1e-6)


def test_real_numbers_stay_as_they_are() -> None:
    numbers = np.random.default_rng(0).normal(5, 2, (3, 1, 4, 4)).astype(np.float32)
    assert torch.equal(batch_of_arrays(numbers).inputs, torch.from_numpy(numbers))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 1, 1, 2], [0, 3, 5, 1, 4]),
        ([2, 1, 0, 0, 1, 0], [2, 1, 0, 3, 4]),
        ([7, 7, 7, 7, 7, 7], [0, 1, 2, 3, 4]),
    ],
)
def test_classes_are_taken_in_turn(labels: list[int], expected: list[int]) -> None:
    assert in_turn(np.array(labels), 5, 6).tolist() == expected


def test_without_classes_the_first_are_taken() -> None:
    assert in_turn(None, 3, 6).tolist() == [0, 1, 2]
    assert in_turn(np.zeros(6), 3, 6).tolist() == [0, 1, 2]
    for size in (0, 7):
        with pytest.raises(InvalidValueError, match=f"in 1 to 6, the examples, but got {size}"):
            in_turn(None, size, 6)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0.0, 1, 2, 0, 1, 2]), "float64, which makes them targets: give integers"),
        (CLASSES + 1, "are 1 to 3, which makes 4 classes, 0 to 3: let them begin at 0"),
    ],
)
def test_labels_that_are_likely_others_are_told(labels: Any, text: str) -> None:
    with pytest.warns(UserWarning, match=text):
        task_of_arrays(IMAGES, labels)


def test_samples_of_16_bits_have_mean_0_and_deviation_1() -> None:
    samples = np.random.default_rng(0).normal(40, 900, (5, 2, 50)).astype(np.int16)
    assert task_of_arrays(samples, classes=2).input == TensorSpec((2, 50), "signal")
    found = batch_of_arrays(samples).inputs
    torch.testing.assert_close(found.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 2), correction=0), torch.ones(2))


@pytest.mark.parametrize(("dtype", "ignored"), [(np.uint8, 255), (np.int64, -100), (np.int16, -1)])
def test_positions_without_a_class_are_left_out(dtype: type, ignored: int) -> None:
    labels: Any = np.arange(120).reshape(6, 4, 5).astype(dtype) % 19
    labels[:, 1:3] = ignored
    labels[2] = ignored
    inputs = np.zeros((6, 1, 4, 5), dtype=np.uint8)
    kept = labels[labels != ignored]
    assert task_of_arrays(inputs, labels, ignore_index=ignored).output == Map(int(kept.max()) + 1)
    found = batch_of_arrays(inputs, labels, ignore_index=ignored).labels
    assert found is not None
    assert torch.equal(found == -100, torch.from_numpy(labels == ignored))
    assert found[found != -100].tolist() == kept.tolist()
    assert in_turn(labels, 3, 6, ignored).tolist() == [0, 1, 3]
    with pytest.raises(InvalidValueError, match="1 to 5, the examples with a label, but got 6"):
        in_turn(labels, 6, 6, ignored)


@pytest.mark.parametrize("ignored", [math.nan, 0.0])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 4, 5)])
def test_real_targets_that_are_missing_are_left_out(shape: tuple[int, ...], ignored: float) -> None:
    labels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    missing = np.random.default_rng(1).random(shape) < 0.3
    missing[2], missing[0] = True, False
    labels[missing] = ignored
    before = labels.copy()
    named: Any = {"ignore_index": ignored}
    wanted = RegressionMap(2) if len(shape) == 4 else Regression(shape[1] if shape[1:] else 1)
    assert task_of_arrays(IMAGES, labels, **named).output == wanted
    found = batch_of_arrays(IMAGES, labels, **named).labels
    assert found is not None
    assert torch.equal(found.isnan(), torch.from_numpy(missing).reshape(found.shape))
    known = torch.from_numpy(labels[~missing])
    assert torch.equal(found[~found.isnan()], known)
    assert 2 not in in_turn(labels, 3, 6, ignored)
    np.testing.assert_array_equal(labels, before)
    if math.isnan(ignored):
        with pytest.raises(InvalidValueError, match="some are NaN: name `ignore_index` nan if"):
            task_of_arrays(IMAGES, labels)
    with pytest.raises(InvalidValueError, match="but all of them are left out"):
        task_of_arrays(IMAGES, np.full(shape, ignored), **named)


def test_a_batch_leaves_the_user_s_labels_as_they_are() -> None:
    labels: Any = np.full((6, 4, 5), 255)
    batch_of_arrays(IMAGES, labels, ignore_index=255)
    assert (labels == 255).all()


def test_tokens_that_none_follows_are_left_out() -> None:
    labels = TOKENS.copy()
    labels[:, -1] = -100
    assert task_of_arrays(TOKENS, labels).output == NextToken(30)
    labels[0, 0] = -1
    with pytest.raises(InvalidValueError, match="or -100 where there is none, but got -1 to 28"):
        task_of_arrays(TOKENS, labels)


@pytest.mark.parametrize(
    ("change", "settings", "text"),
    [
        ({(0, 0): 255}, {}, "0 to 6 and 255: name `ignore_index` 255 if those positions have no"),
        ({(0, 0): 255}, {"classes": 7}, "below 7, but got 255: name one that is left out as `ig"),
        ({(0, 0): -1}, {}, "from 0 on, but got -1: name one that is left out as `ignore_index`"),
        ({(...,): 0, (0, 0): 255}, {}, "must be 0 and 1, but are 0 and 255: divide them by 255"),
        ({(...,): -100}, {}, "of some position, but all are -100"),
    ],
)
def test_what_is_likely_left_out_is_told(
    change: dict[Any, int], settings: dict[str, Any], text: str
) -> None:
    labels: Any = np.full((6, 4, 5), 6)
    for place, value in change.items():
        labels[place] = value
    with pytest.raises(InvalidValueError, match=text):
        task_of_arrays(IMAGES, labels, **settings)


def test_256_classes_are_taken_as_such() -> None:
    labels = np.arange(600).reshape(30, 4, 5) % 256
    images = np.zeros((30, 1, 4, 5), dtype=np.uint8)
    assert task_of_arrays(images, labels).output == Map(256)
    assert task_of_arrays(IMAGES, np.full((6, 4, 5), 255), classes=256).output == Map(256)
