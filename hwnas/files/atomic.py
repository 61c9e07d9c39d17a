"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _scratch(target) as scratch:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether `write_bytes` can write a file, before what goes into it is computed.

    Missing folders are made.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    target = Path(path)
    with _scratch(target) as scratch:
        scratch.touch()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give the name of a file beside the target, which is gone in the end."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _refused(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield scratch
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Fill a folder that appears with all of its files, or not at all.

    Where the folder is there already, files that it lacks are added and others are left alone.

    Args:
        path: the folder.
        replace: whether files that differ from what is written are replaced; else nothing is
            written then, since they may be what a user has made of them.

    Yields:
        A new folder beside it to write to.

    Raises:
        InvalidValueError: it cannot be written, or holds a file that differs and is not to be
            replaced; names the first.
    """
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with _refused(target):
            scratch.mkdir(parents=True)
        yield scratch
        with _refused(target):
            _merge(scratch, target, replace)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _refused(target: Path) -> Iterator[None]:
    """Turn what the file system raises into one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InvalidValueError(
            f"`path` must be writable, but {str(target)!r} is not: {reason}."
        ) from error


def _merge(scratch: Path, target: Path, replace: bool) -> None:
    if not target.exists():
        scratch.rename(target)
        return
    files = [file.relative_to(scratch) for file in sorted(scratch.rglob("*")) if file.is_file()]
    for file in files:
        there = target / file
        if not replace and there.exists() and not filecmp.cmp(scratch / file, there, shallow=False):
            raise FileExistsError(
                errno.EEXIST, f"its {file} is another: move it away, or name another folder"
            )
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (scratch / file).replace(target / file)
