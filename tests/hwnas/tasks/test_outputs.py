"""Which output an answer is, which labels fit it, and its loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.tasks.outputs import IGNORED, check_labels, loss, read_output
from hwnas.tasks.task import Logits, Map, NextToken, Output, Regression, RegressionMap, TensorSpec

IMAGE = TensorSpec((3, 8, 8))
WORDS = TensorSpec((5,), "tokens", 11)
PULSE = TensorSpec((2, 9), "signal")


@pytest.mark.parametrize(
    ("shape", "spec", "wanted", "output", "label_shape"),
    [
        ((2, 7), IMAGE, None, Logits(7), ()),
        ((2, 7), IMAGE, Logits(10), Logits(7), ()),
        ((2, 7), PULSE, Regression(1), Regression(7), (7,)),
        ((2, 7, 4, 2), IMAGE, None, Map(7), (4, 2)),
        ((2, 7, 9), PULSE, None, Map(7), (9,)),
        ((2, 7, 4, 2), IMAGE, RegressionMap(3), RegressionMap(7), (7, 4, 2)),
        ((2, 5, 11), WORDS, None, NextToken(11), (5,)),
        ((2, 3), WORDS, None, Logits(3), ()),
    ],
)
def test_an_answer_is_told_by_its_shape(
    shape: tuple[int, ...],
    spec: TensorSpec,
    wanted: Output | None,
    output: Output,
    label_shape: tuple[int, ...],
) -> None:
    assert read_output(torch.zeros(shape), 2, spec, wanted) == (output, label_shape)


@pytest.mark.parametrize(
    ("shape", "spec", "wanted"),
    [
        ((3, 7), IMAGE, None),
        ((2,), IMAGE, None),
        ((2, 0), IMAGE, None),
        ((2, 7, 4), IMAGE, None),
        ((2, 5, 10), WORDS, None),
        ((2, 11, 5), WORDS, None),
        ((2, 7, 4, 4), PULSE, None),
        ((2, 7), IMAGE, Map(7)),
        ((2, 7, 4, 4), IMAGE, Logits(7)),
        ((2, 7, 4, 4), IMAGE, Regression(7)),
        ((2, 7), IMAGE, RegressionMap(7)),
    ],
)
def test_any_other_answer_is_refused(
    shape: tuple[int, ...], spec: TensorSpec, wanted: Output | None
) -> None:
    with pytest.raises(ProxyError, match="`model` must return"):
        read_output(torch.zeros(shape), 2, spec, wanted)


@pytest.mark.parametrize(
    ("labels", "output", "shape"),
    [
        (torch.tensor([0, 3]), Logits(3), ()),
        (torch.tensor([0, -1]), Logits(3), ()),
        (torch.tensor([0.0, 1.0]), Logits(3), ()),
        (torch.tensor([[0, 1], [1, 0]]), Logits(3), ()),
        (torch.zeros(2, 4, 4, dtype=torch.int64), Map(3), (4, 2)),
        (torch.zeros(2, 3, dtype=torch.int64), Regression(3), (3,)),
        (torch.zeros(2, 4, 2), RegressionMap(3), (3, 4, 2)),
    ],
)
def test_foreign_labels_are_refused(
    labels: torch.Tensor, output: Output, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidValueError, match=r"`batch.labels` must be"):
        check_labels(labels, output, shape)


def by_hand(output: Output, answer: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Loss of each input, number by number."""
    found = []
    for scores, wanted in zip(answer.tolist(), labels.tolist(), strict=True):
        if isinstance(output, Regression):
            terms = [(a - b) ** 2 for a, b in zip(scores, wanted, strict=True)]
        elif isinstance(output, Logits):
            terms = [surprise(scores, wanted)]
        elif isinstance(output, NextToken):
            terms = [surprise(row, label) for row, label in zip(scores, wanted, strict=True)]
        elif isinstance(output, RegressionMap):
            numbers, targets = (torch.tensor(t).flatten().tolist() for t in (scores, wanted))
            terms = [(a - b) ** 2 for a, b in zip(numbers, targets, strict=True)]
        else:
            places = [(i, j) for i in range(len(wanted)) for j in range(len(wanted[0]))]
            terms = [surprise([c[i][j] for c in scores], wanted[i][j]) for i, j in places]
        found.append(sum(terms) / len(terms))
    return found


def surprise(logits: list[float], label: int) -> float:
    return math.log(sum(map(math.exp, logits))) - logits[label]


CASES: list[Any] = [
    (Logits(4), (3, 4), (3,)),
    (Map(4), (3, 4, 2, 5), (3, 2, 5)),
    (NextToken(4), (3, 6, 4), (3, 6)),
    (Regression(4), (3, 4), (3, 4)),
    (RegressionMap(4), (3, 4, 2, 5), (3, 4, 2, 5)),
]


@pytest.mark.parametrize(("output", "shape", "label_shape"), CASES)
def test_the_loss_is_averaged_over_positions_and_inputs(
    output: Output, shape: tuple[int, ...], label_shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, label_shape, generator=generator)
    if isinstance(output, (Regression, RegressionMap)):
        labels = torch.randn(label_shape, generator=generator)
    expected = by_hand(output, answer, labels)
    assert float(loss(output, answer, labels)) == pytest.approx(sum(expected) / 3, rel=1e-6)
    assert float(loss(output, answer, labels, total=True)) == pytest.approx(sum(expected), rel=1e-6)


@pytest.mark.parametrize(("output", "shape", "label_shape"), CASES[1:3])
def test_positions_without_a_class_are_left_out_of_the_loss(
    output: Output, shape: tuple[int, ...], label_shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(4, label_shape, generator=generator)
    labels[0].flatten()[:3] = IGNORED
    labels[2].flatten()[1:] = IGNORED
    check_labels(labels, output, label_shape[1:])
    scores = answer if isinstance(output, Map) else answer.transpose(1, 2)
    terms = -scores.log_softmax(1).gather(1, labels.clamp(min=0)[:, None])[:, 0]
    of_inputs = [t[known] for t, known in zip(terms, labels != IGNORED, strict=True)]
    mean = torch.cat(of_inputs).mean()
    total = torch.stack([t.mean() for t in of_inputs]).sum()
    torch.testing.assert_close(loss(output, answer, labels), mean)
    torch.testing.assert_close(loss(output, answer, labels, total=True), total)
    (gradient,) = torch.autograd.grad(loss(output, answer, labels, total=True), answer)
    left_out = (labels == IGNORED).unsqueeze(1 if isinstance(output, Map) else 2)
    assert not gradient[left_out.expand_as(gradient)].any()


@pytest.mark.parametrize(
    ("output", "shape"), [(Regression(4), (3, 4)), (RegressionMap(4), (3, 4, 2, 5))]
)
def test_targets_that_are_nan_are_left_out_of_the_loss(
    output: Output, shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randn(shape, generator=generator)
    labels[0].flatten()[:3] = math.nan
    labels[2].flatten()[1:] = math.nan
    check_labels(labels, output, shape[1:])
    of_inputs = [(a - y)[~y.isnan()].square() for a, y in zip(answer, labels, strict=True)]
    torch.testing.assert_close(loss(output, answer, labels), torch.cat(of_inputs).mean())
    total = torch.stack([of_input.mean() for of_input in of_inputs]).sum()
    torch.testing.assert_close(loss(output, answer, labels, total=True), total)
    (gradient,) = torch.autograd.grad(loss(output, answer, labels), answer, create_graph=True)
    assert not gradient[labels.isnan()].any()
    (second,) = torch.autograd.grad(gradient.sum(), answer)
    assert not second[labels.isnan()].any()
    assert second.isfinite().all()
    labels[1] = math.nan
    with pytest.raises(InvalidValueError, match="a number of each input, but 1 inputs have NaN"):
        check_labels(labels, output, shape[1:])


def test_an_input_without_any_class_is_refused() -> None:
    labels = torch.zeros(3, 4, 2, dtype=torch.int64)
    labels[1] = IGNORED
    with pytest.raises(InvalidValueError, match="1 inputs have -100 everywhere"):
        check_labels(labels, Map(3), (4, 2))
    with pytest.raises(InvalidValueError, match=r"in 0\.\.2, the classes of the network, but got"):
        check_labels(torch.tensor([IGNORED]), Logits(3), ())


@pytest.mark.parametrize(
    ("output", "shape", "label_shape"),
    [
        (Map(4), (3, 4, 3, 5), (3, 6, 9)),
        (Map(4), (3, 4, 3), (3, 7)),
        (Map(4), (3, 4, 2, 7), (3, 40, 200)),  # a 32th, rounded up
        (RegressionMap(4), (3, 4, 3, 5), (3, 4, 6, 10)),
    ],
)
def test_a_coarse_map_is_interpolated_to_its_labels(
    output: Output, shape: tuple[int, ...], label_shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = torch.randn(shape, generator=generator, dtype=torch.float64)
    sides = label_shape[1:] if isinstance(output, Map) else label_shape[2:]
    labels = torch.randint(4, label_shape, generator=generator)
    if isinstance(output, RegressionMap):
        labels = torch.randn(label_shape, generator=generator)
    check_labels(labels, output, shape[2:] if isinstance(output, Map) else shape[1:])
    fine = answer
    for axis, side in enumerate(sides, 2):
        fine = along(fine, axis, side)
    for total in (False, True):
        found = loss(output, answer, labels, total=total)
        torch.testing.assert_close(found, loss(output, fine, labels, total=total))


def along(values: torch.Tensor, axis: int, side: int) -> torch.Tensor:
    """Interpolate linearly between the centres of pixels, by hand."""
    old = values.shape[axis]
    rows = []
    for i in range(side):
        at = min(max((i + 0.5) * old / side - 0.5, 0), old - 1)
        low, high = math.floor(at), min(math.floor(at) + 1, old - 1)
        first, second = values.select(axis, low), values.select(axis, high)
        rows.append(first + (at - low) * (second - first))
    return torch.stack(rows, axis)


@pytest.mark.parametrize("sides", [(28, 28), (32, 20), (64, 64), (16,)])
def test_maps_of_other_places_than_their_labels_are_refused(sides: tuple[int, ...]) -> None:
    labels = torch.zeros(2, 32, 32, dtype=torch.int64)
    with pytest.raises(
        InvalidValueError, match=r"or finer by a whole factor for Map.*: pad the conv"
    ):
        check_labels(labels, Map(3), sides)
