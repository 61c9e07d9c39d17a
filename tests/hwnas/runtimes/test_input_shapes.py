from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.runtimes.input_shapes import batch_axis, batch_of, input_shapes


def value(name: str, *shape: Any) -> Any:
    return SimpleNamespace(name=name, shape=list(shape))


@pytest.mark.parametrize(
    ("declared", "axis"),
    [
        ((None, 3, "h", "w"), 0),
        ((8, 3, 32, 32), 0),
        (("k", 4), 0),
        ((12, "N", 16), 1),
        (("seq", "batch_size", 16), 1),
        (("time", 16), None),
        ((), None),
    ],
)
def test_batch_axis(declared: tuple[Any, ...], axis: int | None) -> None:
    assert batch_axis(declared) == axis


TOKENS = [value("ids", "batch", "seq"), value("mask", "batch", "seq")]


@pytest.mark.parametrize(
    ("values", "batch", "in_shape", "shapes", "expected"),
    [
        (TOKENS, 1, (16,), {}, [[1, 16], [1, 16]]),
        # A name stands for one size in all inputs.
        (TOKENS, 2, None, {"ids": (2, 16)}, [[2, 16], [2, 16]]),
        ([value("s", 12, "N", 16)], 3, None, {}, [[12, 3, 16]]),
        ([value("x", None, 3, None, None)], 2, (3, 4, 5), {}, [[2, 3, 4, 5]]),
        ([value("s", "time", 4)], 1, (7, 4), {}, [[7, 4]]),
        ([value("s", "time", 4)], 1, None, {"s": (9, 4)}, [[9, 4]]),
        ([], 1, None, {}, []),
    ],
)
def test_completed(
    values: Any, batch: int, in_shape: Any, shapes: Any, expected: list[list[int]]
) -> None:
    assert input_shapes(values, batch, in_shape, shapes, ()) == expected


def test_undeclared_shapes_take_what_is_given() -> None:
    x = [value("x")]
    assert input_shapes(x, 2, (3, 8, 8), {}, {"x"}) == [[2, 3, 8, 8]]
    assert input_shapes(x, 5, None, {"x": (5, 7)}, {"x"}) == [[5, 7]]
    assert input_shapes(x, 1, None, {}, ()) == [[]]  # a scalar
    with pytest.raises(InvalidValueError, match=r"input 'x', which declares none"):
        input_shapes(x, 1, None, {}, {"x"})


def test_batch_of_a_given_shape() -> None:
    assert batch_of(TOKENS, {"ids": (4, 16)}) == 4
    assert batch_of([value("s", 12, "N", 16)], {}) is None
    assert batch_of([value("s", 12, "N", 16)], {"s": (12, 5, 16)}) == 5
    assert batch_of([], {}) is None


@pytest.mark.parametrize(
    ("shapes", "batch", "text"),
    [
        ({"ids": (1, 16, 2)}, 1, "must fit input 'ids'"),
        ({"ids": (4, 16)}, 2, "must be that of the shape"),
        ({}, 1, r"pass e\.g\. --shape ids=1,16"),
    ],
)
def test_contradictions_and_gaps(shapes: Any, batch: int, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        input_shapes(TOKENS, batch, None, shapes, ())


def test_misspelt_input() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mask'"):
        input_shapes(TOKENS, 1, (16,), {"mas": (1, 16)}, ())
