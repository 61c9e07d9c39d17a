"""Shapes of an ONNX model's inputs: what it declares, completed by what the user gives.

A free dimension has a name or none. The batch is the dimension that is named so (``N``, ``batch``,
...); else the first one, unless that is named as a sequence's (``seq``, ``time``, ...). A name
stands for one size in all inputs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hwnas.errors import InvalidValueError, unknown_name

Shapes = Mapping[str, tuple[int, ...]]
_BATCH = re.compile(r"(n|b|bs|bsz|batch.*|.*batch|.*batch_?size)", re.IGNORECASE)
_SEQUENCE = re.compile(
    r"(s|t|l|.*seq.*|.*time.*|.*len.*|.*token.*|.*step.*|.*frames?)", re.IGNORECASE
)


def batch_axis(declared: Sequence[int | str | None]) -> int | None:
    """Give the axis of the batch, or None where none can be told.

    Args:
        declared: sizes of fixed dimensions, names of free ones or None.
    """
    for axis, size in enumerate(declared):
        if isinstance(size, str) and _BATCH.fullmatch(size):
            return axis
    if not declared or (isinstance(declared[0], str) and _SEQUENCE.fullmatch(declared[0])):
        return None
    return 0


def batch_of(values: Sequence[Any], shapes: Shapes) -> int | None:
    """Give the batch that the first input fixes, or that its given shape has; else None."""
    if not values:
        return None
    first = values[0]
    given = shapes.get(first.name)
    axis = batch_axis(first.shape or given or ())
    size = None if axis is None else (given or first.shape)[axis]
    return size if isinstance(size, int) else None


def input_shapes(
    values: Sequence[Any],
    batch: int,
    in_shape: Sequence[int] | None,
    shapes: Shapes,
    undeclared: Collection[str],
) -> list[list[int]]:
    """Complete the shapes of all inputs.

    Args:
        values: ONNX Runtime's description of the inputs.
        batch: size of the batch of each input, where it is free.
        in_shape: the dimensions beside the batch, for inputs of that rank where they are free.
        shapes: whole shapes by the names of inputs.
        undeclared: names of inputs that declare no shape, which take what is given.

    Raises:
        InvalidValueError: a shape is not complete, or contradicts the model's.
    """
    names = [value.name for value in values]
    for name in shapes:
        if name not in names:
            raise unknown_name("shape", name, names)
    sizes: dict[str, int] = {}
    for value in values:
        if (given := shapes.get(value.name)) and value.name not in undeclared:
            _check(value, given)
            sizes |= {n: g for n, g in zip(value.shape, given, strict=True) if isinstance(n, str)}
    found: list[list[int]] = []
    for value in values:
        given = shapes.get(value.name)
        if given is None and value.name in undeclared:
            given = None if in_shape is None else (batch, *in_shape)
            if given is None:
                raise InvalidValueError(
                    f"`shape` must give the shape of input {value.name!r}, which declares none: "
                    f"pass --shape {value.name}=1,3,32,32, or --input with what follows the batch."
                )
        exactly = not found
        found.append(
            _filled(value, batch, in_shape, sizes, exactly) if given is None else list(given)
        )
        if exactly and batch_of(values, {value.name: tuple(found[0])}) not in (None, batch):
            raise InvalidValueError(
                f"`batch` must be that of the shape {found[0]} of input {value.name!r}, but got "
                f"{batch}."
            )
    return found


def _check(value: Any, given: Sequence[int]) -> None:
    fits = len(given) == len(value.shape) and all(
        not isinstance(have, int) or have == want
        for have, want in zip(value.shape, given, strict=True)
    )
    if not fits:
        raise InvalidValueError(
            f"`shape` must fit input {value.name!r} of the model, whose shape is "
            f"{list(value.shape)}, but got {list(given)}."
        )


def _filled(
    value: Any,
    batch: int,
    in_shape: Sequence[int] | None,
    sizes: Mapping[str, int],
    exactly: bool,
) -> list[int]:
    """Fill free dimensions; with `exactly` the others must be what was asked for."""
    declared = list(value.shape)
    axis = batch_axis(declared)
    wanted: list[int | None] = [sizes.get(size) for size in declared]
    if axis is not None and wanted[axis] is None:
        wanted[axis] = batch
    others = [i for i in range(len(declared)) if i != axis]
    if in_shape is not None and len(in_shape) == len(others):
        for i, size in zip(others, in_shape, strict=True):
            wanted[i] = size
    shape: list[int] = []
    have: int | str | None
    for have, want in zip(declared, wanted, strict=True):
        if exactly and isinstance(have, int) and want not in (None, have):
            raise InvalidValueError(
                f"`batch` and `input` must fit input {value.name!r} of the model, whose shape is "
                f"{declared}, but got {wanted}."
            )
        complete = have if isinstance(have, int) else want
        if complete is None:
            sizes_or_16 = (
                n if isinstance(n, int) else w or 16 for n, w in zip(declared, wanted, strict=True)
            )
            example = ",".join(map(str, sizes_or_16))
            raise InvalidValueError(
                f"`input` or `shape` must give the free dimensions of input {value.name!r}, whose "
                f"shape is {declared}: pass e.g. --shape {value.name}={example}."
            )
        shape.append(complete)
    return shape
