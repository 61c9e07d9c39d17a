"""What outlives a process that dies: marks of what it had begun.

A network of a user may end the process that builds or runs it. Every process therefore marks what
it computes. A mark whose process is dead is a doubt, not a verdict, since a search may be killed at
any moment: what is marked is computed in a child process, and only if that dies has it failed.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is marked there.
    fcntl = None  # type: ignore[assignment]

_BEGUN, _DIED = ".begun", ".died"
_own: dict[tuple[str, int], int] = {}
"""Descriptors of this process's files, by folder and process."""


class Marks:
    """Files that say what each process has begun to compute, each locked while its process lives.

    A folder that cannot be written marks nothing.

    Args:
        folder: where they are; None marks nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder if fcntl is not None else None

    @contextlib.contextmanager
    def begun(self, name: str) -> Iterator[None]:
        """Mark `name` while it is computed."""
        descriptor = self._descriptor()
        if descriptor is None:
            yield
            return
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, name.encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)

    def left(self) -> set[str]:
        """Give what dead processes had begun, and what has killed a child."""
        return set(self._files())

    def has_died(self, start: str) -> bool:
        """Tell whether something whose name starts so has killed a child."""
        return any(
            name.startswith(start) and any(path.suffix == _DIED for path in paths)
            for name, paths in self._files().items()
        )

    def condemn(self, name: str) -> None:
        """Keep in mind that `name` has killed a child."""
        first, *others = self._files().get(name, [None])
        with contextlib.suppress(OSError):
            if first is not None:
                first.rename(first.with_suffix(_DIED))
            for path in others:
                path.unlink(missing_ok=True)  # type: ignore[union-attr]

    def acquit(self, name: str) -> None:
        """Forget that `name` was left."""
        for path in self._files().get(name, []):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        if self._folder is None:
            return found
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                name = _name_of_dead(path) if path.suffix in (_BEGUN, _DIED) else None
                if name:
                    found.setdefault(name, []).append(path)
        return found

    def _descriptor(self) -> int | None:
        if self._folder is None:
            return None
        owner = str(self._folder), os.getpid()
        if owner not in _own:
            try:
                _own[owner] = _make(self._folder)
            except OSError:
                self._folder = None
                return None
        return _own[owner]


def _make(folder: Path) -> int:
    """Make this process's file; it has its name once it is locked."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}{_BEGUN}"
    scratch = path.with_suffix(".tmp")
    descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    scratch.rename(path)
    return descriptor


def _name_of_dead(path: Path) -> str | None:
    """Read the mark of a dead process; remove its file if it has none, as after a clean end."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        name = file.read().decode(errors="replace")
        if not name:
            path.unlink(missing_ok=True)
        return name
    return None
