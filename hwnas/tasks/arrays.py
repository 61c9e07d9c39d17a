"""A task and a batch from a user's own arrays."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import (
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    Task,
    TensorSpec,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")

Array = npt.NDArray[np.generic]
_WHOLE = (np.uint8, np.int16)
"""Whole numbers as cameras and microphones give them."""


def spec_of_array(inputs: Array, vocabulary: int | None = None) -> TensorSpec:
    """Tell what inputs are.

    Args:
        inputs: (N, C, H, W) images or (N, C, T) signals of real numbers, bytes or samples of 16
            bits, (N, F) vectors of real numbers, or (N, T) integers, which are tokens.
        vocabulary: number of different tokens; one more than the largest if None.

    Raises:
        InvalidValueError: they are none of these, empty, not finite, or not of the vocabulary.
    """
    shape, ranks = inputs.shape[1:], (3, 4) if inputs.dtype in _WHOLE else (2, 3, 4)
    if inputs.ndim in ranks and inputs.size and (inputs.dtype.kind == "f" or 2 not in ranks):
        if not np.isfinite(inputs).all():
            raise InvalidValueError("`inputs` must be finite, but some are infinite or NaN.")
        return TensorSpec.of(shape)
    if inputs.ndim == 2 and inputs.dtype.kind in "iu" and inputs.size and inputs.min() >= 0:
        least = int(inputs.max()) + 1
        if vocabulary is not None and vocabulary < least:
            raise InvalidValueError(
                f"`vocabulary` must be above every token, but got {vocabulary} and {least - 1}."
            )
        return TensorSpec(shape, "tokens", vocabulary or least)
    raise InvalidValueError(
        f"`inputs` must be (N, C, H, W) images or (N, C, T) signals of float, uint8 or int16, "
        f"(N, F) vectors of float, or (N, T) tokens from 0 on, but got {inputs.shape} of "
        f"{inputs.dtype}."
    )


def task_of_arrays(
    inputs: Array,
    labels: Array | None = None,
    *,
    classes: int | None = None,
    vocabulary: int | None = None,
    name: str = "arrays",
) -> Task:
    """Make the task that arrays are examples of.

    Args:
        inputs: as in `spec_of_array`.
        labels: (N,) integers, which are classes; integers of each position, which are a map, or
            the next tokens of tokens; (N,) or (N, n) real numbers, which are targets; or (N, n, H,
            W) of images and (N, n, T) of signals, which are targets of each position.
        classes: number of classes; one more than the largest label if None.
        vocabulary: as in `spec_of_array`.
        name: of the task.

    Raises:
        InvalidValueError: the arrays are something else, or say nothing of the classes.
    """
    spec = spec_of_array(inputs, vocabulary)
    return Task(name, spec, _output(spec, labels, len(inputs), classes))


def _output(spec: TensorSpec, labels: Array | None, count: int, classes: int | None) -> Output:
    if labels is None:
        if classes is None:
            raise InvalidValueError(
                "`labels` must be given, or `classes`, the number that networks are built for."
            )
        return Logits(classes)
    if labels.ndim < 1 or len(labels) != count or not labels.size:
        raise InvalidValueError(
            f"`labels` must be those of all {count} inputs, but have shape {labels.shape}."
        )
    if labels.dtype.kind == "f":
        return _targets(spec, labels)
    known = labels.dtype.kind in "iu"
    if spec.vocabulary and known and labels.shape[1:] == spec.shape:
        if labels.min() < 0 or labels.max() >= spec.vocabulary:
            raise InvalidValueError(
                f"`labels` of each token must be the next ones, in 0 to {spec.vocabulary - 1}, but "
                f"got {labels.min()} to {labels.max()}."
            )
        return NextToken(spec.vocabulary)
    positions = spec.shape[1:]
    if known and labels.min() >= 0 and labels.shape[1:] in ((), positions):
        found = max(int(labels.max()) + 1, classes or 0)
        if classes not in (None, found):
            raise InvalidValueError(f"`labels` must be below {classes}, but got {found - 1}.")
        if classes is None and labels.ndim == 1 and labels.min() > 0:
            warnings.warn(
                f"`labels` are {labels.min()} to {found - 1}, which makes {found} classes, 0 to "
                f"{found - 1}: let them begin at 0.",
                stacklevel=2,
            )
        return Logits(found) if labels.ndim == 1 else Map(found)
    if known and labels.min() < 0:
        raise InvalidValueError(f"`labels` must be classes from 0 on, but got {labels.min()}.")
    of_each = "" if spec.kind == "vector" else f", or (N{_sizes(spec) or ', T'}) of each position"
    raise InvalidValueError(
        f"`labels` must be integers (N,){of_each}, or real targets, but got {labels.shape} of "
        f"{labels.dtype}."
    )


def _targets(spec: TensorSpec, labels: Array) -> Output:
    """Tell what real numbers are: (N,), (N, n), or (N, n, ...) of each position."""
    if not np.isfinite(labels).all():
        raise InvalidValueError("`labels` must be finite, but some are infinite or NaN.")
    if labels.ndim <= 2:
        if labels.size == len(labels) and _may_be_classes(labels):
            warnings.warn(
                f"`labels` are {labels.dtype}, which makes them targets: give integers if they "
                f"are classes.",
                stacklevel=2,
            )
        return Regression(labels.size // len(labels))
    if len(spec.shape) > 1 and labels.shape[2:] == spec.shape[1:]:
        return RegressionMap(labels.shape[1])
    raise InvalidValueError(
        f"`labels` of real numbers must be (N,), (N, n), or (N, n{_sizes(spec)}) of each position, "
        f"but got {labels.shape}."
    )


def _may_be_classes(labels: Array) -> bool:
    """Tell whether real numbers are few different whole ones, from 0 on."""
    values = np.unique(labels)
    return 2 <= len(values) <= len(labels) // 2 and np.array_equal(values, np.arange(len(values)))


def _sizes(spec: TensorSpec) -> str:
    return "".join(f", {n}" for n in spec.shape[1:])


def batch_of_arrays(
    inputs: Array, labels: Array | None = None, *, description: str = "own arrays"
) -> Batch:
    """Make the batch of arrays that `task_of_arrays` takes.

    Bytes and samples of 16 bits become numbers of mean 0 and deviation 1 in each channel; real
    numbers stay as they are.
    """
    targets = None if labels is None else _tensor(labels)
    if targets is not None and targets.is_floating_point() and targets.ndim == 1:
        targets = targets[:, None]
    tensor = _tensor(inputs)
    if inputs.dtype in _WHOLE and inputs.ndim > 2:
        tensor = _standardised(tensor.float())
    return Batch(tensor, targets, description)


def _tensor(array: Array) -> Tensor:
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind))


def _standardised(inputs: Tensor) -> Tensor:
    """Give each channel of (B, C, ...) mean 0 and deviation 1; a constant one becomes 0."""
    over = (0, *range(2, inputs.ndim))
    deviation, mean = torch.std_mean(inputs, dim=over, correction=0, keepdim=True)
    return (inputs - mean) / torch.where(deviation > 0, deviation, 1.0)


def in_turn(labels: Array | None, size: int, count: int) -> npt.NDArray[np.int64]:
    """Choose `size` of `count` examples: the first of each class, the second of each, and so on.

    Files are often sorted by class: the first examples would be of one class.

    Args:
        labels: (N,) classes; anything else counts as one class.
        size: examples that are wanted.
        count: examples N that there are.

    Raises:
        InvalidValueError: there are fewer.
    """
    if not 1 <= size <= count:
        raise InvalidValueError(f"`size` must be in 1 to {count}, the examples, but got {size}.")
    if labels is None or labels.ndim != 1 or labels.dtype.kind == "f":
        return np.arange(size)
    order = np.argsort(labels, kind="stable")
    _, first, numbers = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count) - np.repeat(first, numbers)
    return np.lexsort((np.arange(count), labels, place))[:size].astype(np.int64)
