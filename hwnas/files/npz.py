"""The one binary format of hwnas: numpy arrays and a JSON header in one ``.npz``.

The header's ``format`` names what the file holds and the number of its schema, e.g.
``hwnas predictor 1``. Nothing in a file is executed: there is no pickle in it.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError, DataNotFoundError, HwnasError
from hwnas.files.atomic import write_bytes
from hwnas.files.npy_archive import read_arrays

Arrays = Mapping[str, npt.NDArray[Any]]

_HEADER = "header"
_OLD_HEADER = "meta"
"""Where shipped scores of format 1 have theirs, as text."""


class NpzFormat(NamedTuple):
    """What a file holds.

    Attributes:
        text: name and schema number, as they stand in the header.
        what: what such a file is called, e.g. ``a predictor file``.
        remedy: how to get a right one.
        old: values of ``format`` in the headers of old files of the same layout.
    """

    text: str
    what: str
    remedy: str
    old: tuple[Any, ...] = ()


def write_npz(
    path: str | os.PathLike[str], kind: NpzFormat, header: Mapping[str, Any], arrays: Arrays
) -> None:
    """Write header and arrays, whole or not at all.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    text = json.dumps({"format": kind.text, **header})
    content: dict[str, Any] = {_HEADER: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    stream = io.BytesIO()
    np.savez_compressed(stream, **content)
    write_bytes(path, stream.getvalue())


@contextmanager
def opened_npz(
    path: str | os.PathLike[str], kind: NpzFormat
) -> Iterator[tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]]:
    """Give header and arrays of a file, to be made sense of within the block.

    What the block does not find, or finds to be of another shape or type, is damage too.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: the file is damaged or something else.
    """
    try:
        arrays = read_arrays(Path(path))
        header = json.loads(
            arrays.pop(_HEADER).tobytes() if _HEADER in arrays else str(arrays.pop(_OLD_HEADER)),
            parse_constant=_no_number,
        )
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        if header["format"] not in (kind.text, *kind.old):
            raise ValueError(f"its format is {header['format']!r}")
        yield header, arrays
    except HwnasError:
        raise
    except FileNotFoundError:
        raise DataNotFoundError(
            f"`{path}` must be {kind.what}, but there is none: {kind.remedy}."
        ) from None
    except (
        OSError, EOFError, LookupError, TypeError, ValueError, AttributeError, RuntimeError,
        ArithmeticError, MemoryError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataFormatError(
            f"`{path}` must be {kind.what} ({kind.text}), but it is damaged or something else: "
            f"{reason[:200].rstrip('.')}. {kind.remedy.capitalize()}."
        ) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} in the header is no number")
