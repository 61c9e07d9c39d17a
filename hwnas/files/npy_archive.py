"""The arrays of an ``.npz`` file, read within a bound of memory.

What a file declares, sizes of members and shapes of arrays, is compared with the bytes at hand
before anything is made of it. numpy's own reader allocates what is declared.
"""

from __future__ import annotations

import ast
import io
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST = 512 << 20
"""Bytes of a file, and of all its arrays."""
_MOST_ARRAYS = 10_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAGIC = b"\x93NUMPY"
_KIND = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|U\d{1,9})")
_LAST_CHARACTER = 0x10FFFF


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Give all arrays of a file by name.

    Raises:
        ValueError: the file is no archive of arrays of numbers and texts, or is too large.
        zipfile.BadZipFile: it is no archive, or damaged.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    # From memory: a damaged archive leaves no file open.
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        members = archive.infolist()
        _check_members(members)
        return {m.filename.removesuffix(".npy"): _array(archive.read(m)) for m in members}


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(names) > _MOST_ARRAYS or len(set(names)) < len(names):
        raise ValueError(f"it has a member twice, or more than {_MOST_ARRAYS}")
    for member in members:
        if not member.filename.endswith(".npy") or member.compress_type not in _METHODS:
            raise ValueError(
                f"its member {member.filename!r} is no array, or packed in another way"
            )
    if sum(member.file_size for member in members) > LARGEST:
        raise ValueError(f"its arrays have more than {LARGEST} bytes")


def _array(content: bytes) -> npt.NDArray[Any]:
    """Give the array of a ``.npy`` file: a description as a Python literal, then the numbers."""
    descr, columns_first, shape, raw = _description(content)
    if not (isinstance(descr, str) and _KIND.fullmatch(descr)):
        raise ValueError(f"the number format {str(descr)[:50]!r} is not admitted")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("a shape is no tuple of whole numbers")
    dtype = np.dtype(descr)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape[:8]} has {len(raw)} bytes")
    if not raw:
        return np.zeros(shape, dtype)
    array = np.frombuffer(raw, dtype)
    if dtype.kind == "U" and array.view(dtype.byteorder + "u4").max() > _LAST_CHARACTER:
        raise ValueError("a text has characters that there are not")
    return array.reshape(shape, order="F" if columns_first is True else "C").copy(order="K")


def _description(content: bytes) -> tuple[Any, Any, Any, bytes]:
    if content[:6] != _MAGIC or content[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise ValueError("a member is no array of numpy")
    start = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:start], "little")
    if length > 10_000:
        raise ValueError("the description of an array is too long")
    try:
        found = ast.literal_eval(content[start : start + length].decode("latin-1").strip())
        return found["descr"], found["fortran_order"], found["shape"], content[start + length :]
    except (SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError("the description of an array is damaged") from error
