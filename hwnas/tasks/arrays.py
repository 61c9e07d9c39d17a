"""A task and a batch from a user's own arrays."""

from __future__ import annotations

import math
import warnings
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch
from hwnas.tasks.outputs import IGNORED
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
_VOID = 255
"""What data sets of segmentation call the pixels that have no class."""


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
    ignore_index: float | None = None,
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
        ignore_index: label that stands for none, see `left_out`.
        name: of the task.

    Raises:
        InvalidValueError: the arrays are something else, or say nothing of the classes.
    """
    spec = spec_of_array(inputs, vocabulary)
    return Task(name, spec, _output(spec, labels, len(inputs), classes, ignore_index))


def _output(
    spec: TensorSpec,
    labels: Array | None,
    count: int,
    classes: int | None,
    ignore_index: float | None,
) -> Output:
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
    known = labels[~left_out(labels, ignore_index)]
    if labels.dtype.kind == "f":
        return _targets(spec, labels, known)
    tokens = spec.vocabulary is not None and labels.shape[1:] == spec.shape
    if labels.dtype.kind not in "iu" or not (tokens or labels.shape[1:] in ((), spec.shape[1:])):
        sizes = f"(N{_sizes(spec) or ', T'})"
        of_each = "" if spec.kind == "vector" else f", or {sizes} of each position"
        raise InvalidValueError(
            f"`labels` must be integers (N,){of_each}, or real targets, but got {labels.shape} of "
            f"{labels.dtype}."
        )
    if not known.size:
        raise InvalidValueError(f"`labels` must be of some position, but all are {labels.max()}.")
    if spec.vocabulary is not None and tokens:
        if known.min() < 0 or known.max() >= spec.vocabulary:
            raise InvalidValueError(
                f"`labels` of each token must be the next ones, in 0 to {spec.vocabulary - 1}, or "
                f"{IGNORED if ignore_index is None else ignore_index:g} where there is none, but "
                f"got {known.min()} to {known.max()}."
            )
        return NextToken(spec.vocabulary)
    return _classes(known, classes, labels.ndim > 1)


def _classes(labels: Array, classes: int | None, of_positions: bool) -> Output:
    """Tell how many classes there are, from labels in one axis."""
    lowest, highest = int(labels.min()), int(labels.max())
    left_out = ": name one that is left out as `ignore_index`" if of_positions else ""
    if lowest < 0:
        raise InvalidValueError(f"`labels` must be classes from 0 on, but got {lowest}{left_out}.")
    found = max(highest + 1, classes or 0)
    if classes is None and found == 1:
        raise InvalidValueError(
            "`labels` must be of two classes or more, but all are 0: say `classes` where there are "
            "more than these examples show."
        )
    if classes not in (None, found):
        raise InvalidValueError(f"`labels` must be below {classes}, but got {highest}{left_out}.")
    if classes is None and of_positions and highest == _VOID:
        below = int(np.max(labels[labels != _VOID], initial=0))
        if below == 0:
            raise InvalidValueError(
                f"`labels` of two classes must be 0 and 1, but are 0 and {_VOID}: divide them by "
                f"{_VOID}, or say `classes` {_VOID + 1}."
            )
        if below < _VOID - 1:
            raise InvalidValueError(
                f"`labels` must leave no class out, but are 0 to {below} and {_VOID}: name "
                f"`ignore_index` {_VOID} if those positions have no class, else `classes` "
                f"{_VOID + 1}."
            )
    if classes is None and not of_positions and lowest > 0:
        warnings.warn(
            f"`labels` are {lowest} to {highest}, which makes {found} classes, 0 to {highest}: let "
            f"them begin at 0.",
            stacklevel=2,
        )
    return Map(found) if of_positions else Logits(found)


def _targets(spec: TensorSpec, labels: Array, known: Array) -> Output:
    """Tell what real numbers are: (N,), (N, n), or (N, n, ...) of each position."""
    if not known.size:
        raise InvalidValueError("`labels` must be some numbers, but all of them are left out.")
    if not np.isfinite(known).all():
        raise InvalidValueError(
            "`labels` must be finite, but some are NaN: name `ignore_index` nan if these are to be "
            "left out."
            if np.isnan(known).any()
            else "`labels` must be finite, but some are infinite."
        )
    if labels.ndim <= 2:
        if labels.size == len(labels) and _may_be_classes(known):
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


def left_out(labels: Array, ignore_index: float | None = None) -> npt.NDArray[np.bool_]:
    """Mark the labels (N, ...) that stand for none.

    Of classes of positions these are `ignore_index`, e.g. 255 of Cityscapes, or `IGNORED` where it
    is None; of real targets `ignore_index`, which may be NaN, or e.g. 0 of depth maps, and none
    where it is None. Each input has a class where it is one of the whole input.

    Example:
        >>> left_out(np.array([1.5, np.nan]), float("nan")).tolist()
        [False, True]
        >>> left_out(np.array([[0, -100]])).tolist()
        [[False, True]]
    """
    if labels.dtype.kind == "f" and ignore_index is not None:
        return np.isnan(labels) if math.isnan(ignore_index) else labels == ignore_index
    if labels.dtype.kind == "f" or labels.ndim < 2:
        return np.zeros(labels.shape, dtype=np.bool_)
    return np.asarray(labels == (IGNORED if ignore_index is None else ignore_index))


def batch_of_arrays(
    inputs: Array,
    labels: Array | None = None,
    *,
    ignore_index: float | None = None,
    description: str = "own arrays",
) -> Batch:
    """Make the batch of arrays that `task_of_arrays` takes.

    Bytes and samples of 16 bits become numbers of mean 0 and deviation 1 in each channel; real
    numbers stay as they are. Labels that are `left_out` become `IGNORED`, real ones NaN.
    """
    targets = None if labels is None else _tensor(labels)
    if labels is not None and targets is not None:
        real, mask = targets.is_floating_point(), torch.from_numpy(left_out(labels, ignore_index))
        targets = targets.masked_fill(mask, math.nan if real else IGNORED)
        targets = targets[:, None] if real and targets.ndim == 1 else targets
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


def in_turn(
    labels: Array | None, size: int, count: int, ignore_index: float | None = None
) -> npt.NDArray[np.int64]:
    """Choose `size` of `count` examples: the first of each class, the second of each, and so on.

    Files are often sorted by class: the first examples would be of one class.

    Args:
        labels: (N,) classes; anything else counts as one class. Examples whose labels are all
            `left_out` are so, too.
        size: examples that are wanted.
        count: examples N that there are.
        ignore_index: label that stands for none.

    Raises:
        InvalidValueError: there are fewer.
    """
    if not 1 <= size <= count:
        raise InvalidValueError(f"`size` must be in 1 to {count}, the examples, but got {size}.")
    if labels is None:
        return np.arange(size)
    if labels.ndim > 1 or labels.dtype.kind == "f":
        known = (i for i in range(count) if not left_out(labels[i : i + 1], ignore_index).all())
        places = np.fromiter(islice(known, size), dtype=np.int64)
        if len(places) < size:
            raise InvalidValueError(
                f"`size` must be in 1 to {len(places)}, the examples with a label, but got {size}."
            )
        return places
    order = np.argsort(labels, kind="stable")
    _, first, numbers = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count) - np.repeat(first, numbers)
    return np.lexsort((np.arange(count), labels, place))[:size].astype(np.int64)
