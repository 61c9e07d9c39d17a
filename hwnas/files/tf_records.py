"""TensorFlow's files of records, read without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of the length, its bytes, and a checksum
of these. A checksum is CRC-32C (Castagnoli), rotated by 15 bits and shifted by a constant, so that
data which holds checksums itself is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError

_POLYNOMIAL = 0x82F63B78
_SHIFT = 0xA282EAD8
_LARGEST_RECORD = 1 << 20
"""Bytes of the largest record that is read; those of published benchmarks have some hundred."""
_TOGETHER = 4096
"""Records whose checksums are worked out together."""


def _table() -> npt.NDArray[np.uint32]:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (values & np.uint32(1)) * np.uint32(_POLYNOMIAL)
        values = np.asarray(values >> np.uint32(1) ^ odd, dtype=np.uint32)
    return values


_TABLE = _table()


def checksums(records: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """Compute the `(n,)` masked CRC-32C of `(n,)` records.

    Example:
        >>> [hex(int(value)) for value in checksums([b"123456789"])]  # its CRC is 0xe3069283
        ['0xc78ab0e5']
    """
    lengths = np.array([len(record) for record in records])
    longest = int(lengths.max(initial=0))
    rows = np.frombuffer(b"".join(r.ljust(longest, b"\0") for r in records), dtype=np.uint8)
    columns = rows.reshape(len(records), longest).T
    crc = np.full(len(records), 0xFFFFFFFF, dtype=np.uint32)
    for place, column in enumerate(columns):
        further = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
        crc = np.where(place < lengths, further, crc)
    crc = ~crc
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return np.asarray(rotated + np.uint32(_SHIFT), dtype=np.uint32)


def read_tf_records(path: Path) -> Iterator[bytes]:
    """Read the records of a file, one after another.

    Args:
        path: the file.

    Raises:
        DataFormatError: it cannot be read, is cut off, or a checksum is wrong; names the record,
            from 1.
    """
    number, framed = 0, _framed(path)
    while group := list(islice(framed, _TOGETHER)):
        for part, what in ((0, "the length of record {}"), (1, "record {}")):
            said = np.array([frame[part][1] for frame in group], dtype=np.uint32)
            wrong = checksums([frame[part][0] for frame in group]) != said
            if wrong.any():
                place = what.format(number + int(wrong.argmax()) + 1)
                raise _damaged(path, f"{place} has another checksum")
        number += len(group)
        yield from (body for _, (body, _) in group)


_Checked = tuple[bytes, int]
"""Bytes, and the checksum that the file says of them."""


def _framed(path: Path) -> Iterator[tuple[_Checked, _Checked]]:
    """Give the length and the bytes of each record, with the checksums that the file says."""
    try:
        with path.open("rb") as file:
            while head := file.read(12):
                length = int.from_bytes(head[:8], "little")
                body = file.read(length + 4) if length <= _LARGEST_RECORD else b""
                if len(head) != 12 or len(body) != length + 4:
                    raise _damaged(path, f"it is cut off or damaged at byte {file.tell()}")
                yield _checked(head), _checked(body)
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error


def _checked(data: bytes) -> _Checked:
    return data[:-4], int.from_bytes(data[-4:], "little")


def _damaged(path: Path, reason: str) -> DataFormatError:
    return DataFormatError(
        f"`{path}` must be a whole file of records, but {reason}: copy it again."
    )
