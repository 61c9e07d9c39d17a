"""Names that say what was found there: ``PLACE#CHECKSUM`` is found again, or told to have changed.

A place may be ``FILE:COLUMN``, whose checksum is that of the file. A study keeps what it was begun
with by such names, so that it does not go on with something else.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from hwnas.errors import DataNotFoundError, InvalidValueError
from hwnas.files.named_column import file_and_column

_PINNED = re.compile(r"(.+)#([0-9a-f]{16})", re.DOTALL)


def split_pinned(text: str) -> tuple[str, str | None]:
    """Split into place and checksum; None where there is no checksum.

    Example:
        >>> split_pinned("labels.csv#0123456789abcdef")
        ('labels.csv', '0123456789abcdef')
    """
    found = _PINNED.fullmatch(text)
    return (found[1], found[2]) if found else (text, None)


def pinned_text(place: str, checksum: str) -> str:
    """Join a place and the first 16 hexadecimal digits of a checksum."""
    return f"{place}#{checksum[:16]}"


def pinned_file(text: str, name: str) -> str:
    """Give the name that finds a file again by its absolute path, and no other content.

    Args:
        text: ``FILE`` or ``FILE:COLUMN``, with or without its checksum.
        name: what the file is, for errors.

    Raises:
        DataNotFoundError: there is no such file.
        InvalidValueError: it is not the file of the checksum.
    """
    place = unpinned_file(text, name)
    return pinned_text(str(place.resolve()), sha256(file_and_column(place)[0]))


def unpinned_file(text: str, name: str) -> Path:
    """Find a file, and insist on what it is said to hold.

    Args:
        text: ``FILE`` or ``FILE:COLUMN``, with or without its checksum.
        name: what the file is, for errors.

    Returns:
        The text without the checksum.

    Raises:
        DataNotFoundError: there is no such file.
        InvalidValueError: it is not the file of the checksum.
    """
    place, checksum = split_pinned(text)
    path, _ = file_and_column(Path(place))
    if not path.is_file():
        raise DataNotFoundError(f"`{name}` must be a file, but {path} is none.")
    if checksum is not None and not sha256(path).startswith(checksum):
        raise InvalidValueError(
            f"`{name}` must be what the study began with, of checksum {checksum}, but {path} has "
            f"changed: search in another folder."
        )
    return Path(place)


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
