"""Messages of Protocol Buffers, read field by field without their description."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NoReturn

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give the number and the value of each field, in the order of the message.

    Args:
        message: its bytes.

    Returns:
        Numbers with integers (of varints, unsigned), or with the bytes of anything else: `double`
        reads eight of them, and a message inside is read by this function.

    Raises:
        ValueError: it is cut off, or no message.

    Example:
        >>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))
        [(1, 150), (2, b'hi')]
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        else:
            length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, 0) or _refuse(f"kind {kind}")
        if place + length > len(message):
            _refuse("a field that is cut off")
        yield number, message[place : place + length]
        place += length


def double(value: int | bytes) -> float:
    """Read a floating-point number of eight bytes.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, bytes) or len(value) != 8:
        _refuse("no number of eight bytes")
    return float(struct.unpack("<d", value)[0])


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Read seven bits a byte, the lowest first, until one without the highest bit."""
    value = 0
    for number, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, place + number + 1
    _refuse("a number that does not end")


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"a message has {what}")
