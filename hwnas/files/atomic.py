"""Files that are either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from hwnas.errors import InvalidValueError


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text as `write_bytes` does, line ends as they are."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it.

    Missing folders are made. A reader sees the old file or the new one, never a part.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidValueError(
            f"`path` must be writable, but {str(target)!r} is not: {error.strerror}."
        ) from error
