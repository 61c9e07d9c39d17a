"""Number formats and arrays of numpy as pickles describe them, rebuilt without running anything."""

from __future__ import annotations

import math
from typing import Any, Literal, NoReturn

import numpy as np

_LARGEST_STRUCTURE = 1 << 10
_Order = Literal["<", ">", "|", "="]
_ORDERS: dict[str, _Order] = {"<": "<", ">": ">", "|": "|", "=": "="}
_FORMATS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class RefusedError(Exception):
    """A file is not admitted; the text says why."""


def refuse(reason: str) -> NoReturn:
    """Raise `RefusedError` for a reason."""
    raise RefusedError(reason)


class NumberFormat:
    """A number format, and for structures the state that names their fields."""

    def __init__(self, code: Any) -> None:
        if type(code) is not str:
            refuse("a number format is no text")
        self.code: str = code
        self.order: _Order = "="
        self.fields: tuple[Any, ...] | None = None
        self._plain: np.dtype[Any] | None = None

    def build(self, state: Any) -> None:
        """Take ``(version, byte order, None, names, fields, size, alignment, ...)``."""
        if not isinstance(state, tuple) or len(state) < 7 or type(state[1]) is not str:
            refuse("a number format has an unknown state")
        if state[1] not in _ORDERS:
            refuse(f"the byte order {state[1]!r} is not admitted")
        self.order, self._plain = _ORDERS[state[1]], None
        self.fields = state[3:6] if state[3] is not None else None

    def plain(self) -> np.dtype[Any]:
        """Give the format of one number."""
        if self._plain is None:
            if self.code not in _FORMATS or self.fields is not None:
                refuse(f"the number format {self.code!r} is not admitted")
            self._plain = np.dtype(self.code).newbyteorder(self.order)
        return self._plain

    def any(self) -> np.dtype[Any]:
        """Give the format of a number or a structure of numbers."""
        return self.plain() if self.fields is None else _structure(*self.fields)


def _structure(names: Any, fields: Any, size: Any) -> np.dtype[Any]:
    """Build the format of a structure of numbers that lie within its `size` bytes."""
    if type(names) is not tuple or not all(type(name) is str for name in names):
        refuse("a structure has names that are no texts")
    if type(fields) is not dict or set(names) != set(fields):
        refuse("a structure has other fields than names")
    if type(size) is not int or not 0 < size <= _LARGEST_STRUCTURE:
        refuse("a structure has a size that is not admitted")
    formats, offsets = [], []
    for name in names:
        entry = fields[name]
        if not isinstance(entry, tuple) or len(entry) < 2:
            refuse("a field of a structure is not admitted")
        kind, offset = entry[:2]
        dtype = kind.plain() if isinstance(kind, NumberFormat) else refuse("a field has no format")
        if type(offset) is not int or not 0 <= offset <= size - dtype.itemsize:
            refuse("a field lies outside of its structure")
        formats.append(dtype)
        offsets.append(offset)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


class PickledArray:
    """An array whose content has not come yet."""

    value: np.ndarray[Any, np.dtype[Any]] | None = None

    def build(self, state: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """Take ``(version, shape, format, whether columns come first, bytes)``."""
        if (
            not isinstance(state, tuple)
            or len(state) != 5
            or not isinstance(state[2], NumberFormat)
        ):
            refuse("an array has an unknown state")
        _, shape, kind, columns_first, raw = state
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            refuse("an array has a shape that is not admitted")
        dtype = kind.any()
        if len(shape) > 8 or type(raw) is not bytes:
            refuse("an array has no bytes, or more than 8 dimensions")
        if 0 in shape or len(raw) != math.prod(shape) * dtype.itemsize:
            refuse(f"an array of shape {shape} has {len(raw)} bytes")
        order: Literal["F", "C"] = "F" if columns_first is True else "C"
        self.value = np.frombuffer(raw, dtype).reshape(shape, order=order).copy(order=order)
        return self.value
