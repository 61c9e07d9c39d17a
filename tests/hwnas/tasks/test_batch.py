"""Batches that are drawn, and those of users."""

from __future__ import annotations

import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch, draw_batch
from hwnas.tasks.task import Logits, Map, NextToken, Regression, Task, TensorSpec, image_task

WORDS = TensorSpec((5,), "tokens", 11)
PULSE = TensorSpec((2, 9), "signal")


def test_images_are_standard_normal_with_uniform_labels() -> None:
    batch = draw_batch(image_task(4, (3, 16, 16)), 200, seed=1)
    assert batch.inputs.shape == (200, 3, 16, 16)
    assert abs(float(batch.inputs.mean())) < 0.02
    assert abs(float(batch.inputs.std()) - 1) < 0.02
    assert batch.labels is not None
    assert (torch.bincount(batch.labels, minlength=4) > 25).all()
    assert len(batch) == 200


def test_images_and_their_classes_are_the_first_draws_of_the_seed() -> None:
    batch = draw_batch(image_task(7, (1, 4, 4)), 6, seed=3)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(batch.inputs, torch.randn(6, 1, 4, 4, generator=generator))
    assert batch.labels is not None
    assert torch.equal(batch.labels, torch.randint(7, (6,), generator=generator))
    assert batch.description == "gaussian B=6 seed=3"


def test_a_batch_depends_on_the_seed_only() -> None:
    state, task = torch.get_rng_state(), image_task(2, (1, 2, 2))
    first, second, other = (draw_batch(task, 3, seed) for seed in (5, 5, 6))
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.inputs, other.inputs)
    assert torch.equal(state, torch.get_rng_state())
    assert "seed=5" in first.description


def test_tokens_are_uniform_integers_and_a_label_is_the_next_one() -> None:
    batch = draw_batch(Task("text", WORDS, NextToken(11)), 400, seed=1)
    assert batch.inputs.shape == (400, 5)
    assert not batch.inputs.is_floating_point()
    counts = torch.bincount(batch.inputs.flatten(), minlength=11)
    assert len(counts) == 11
    assert (counts > 130).all()
    assert batch.labels is not None
    assert torch.equal(batch.labels[:, :-1], batch.inputs[:, 1:])
    assert (torch.bincount(batch.labels[:, -1], minlength=11) > 15).all()


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        (Task("text", WORDS, Logits(3)), ()),
        (Task("segments", TensorSpec((3, 4, 6)), Map(3)), (4, 6)),
        (Task("events", PULSE, Map(3)), (9,)),
    ],
)
def test_classes_stand_where_the_output_has_positions(task: Task, shape: tuple[int, ...]) -> None:
    labels = draw_batch(task, 300, seed=2).labels
    assert labels is not None
    assert labels.shape == (300, *shape)
    assert torch.unique(labels).tolist() == [0, 1, 2]


def test_targets_are_real_numbers() -> None:
    batch = draw_batch(Task("rate", PULSE, Regression(2)), 400, seed=2)
    assert batch.inputs.shape == (400, 2, 9)
    assert batch.labels is not None
    assert batch.labels.shape == (400, 2)
    assert abs(float(batch.labels.std()) - 1) < 0.1


def test_part_cuts_inputs_and_labels() -> None:
    part = Batch(torch.arange(4.0).reshape(4, 1, 1, 1), torch.arange(4), "mine").part(1, 3)
    assert part.inputs.flatten().tolist() == [1.0, 2.0]
    assert part.labels is not None
    assert part.labels.tolist() == [1, 2]


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(3),
        torch.zeros(2, 3, 4, 4, dtype=torch.int64),
        torch.zeros(0, 3, 4, 4),
        torch.zeros(2, 3, dtype=torch.bool),
        torch.zeros(2, 3, 4, 4, 4),
    ],
)
def test_inputs_must_be_a_batch_of_some_kind(inputs: torch.Tensor) -> None:
    with pytest.raises(InvalidValueError, match=r"`inputs` must be"):
        Batch(inputs)


def test_labels_must_fit_the_inputs() -> None:
    with pytest.raises(InvalidValueError, match=r"`labels` must have shape \(2, ...\)"):
        Batch(torch.zeros(2, 1, 1, 1), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("inputs", "spec"),
    [
        (torch.zeros(2, 3, 4, 4), TensorSpec((3, 4, 5))),
        (torch.zeros(2, 3, 4, 4), PULSE),
        (torch.zeros(2, 5, dtype=torch.int64), TensorSpec((1, 5), "signal")),
        (torch.full((2, 5), 11), WORDS),
        (torch.full((2, 5), -1), WORDS),
    ],
)
def test_a_batch_of_something_else_is_refused(inputs: torch.Tensor, spec: TensorSpec) -> None:
    with pytest.raises(InvalidValueError, match=r"`batch.inputs` must"):
        Batch(inputs).check(spec)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="`size`"):
        draw_batch(image_task(2, (1, 1, 1)), 0, 0)
