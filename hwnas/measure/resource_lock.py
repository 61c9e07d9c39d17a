"""One measurement at a time on a resource, over all processes of this host."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

_POLL_SECONDS = 0.02


_lent: set[str] = set()
"""Resources that the parent process holds for this one."""


@contextmanager
def hold(resource: str) -> Iterator[None]:
    """Wait until no other process or thread of the user holds a resource, and hold it meanwhile.

    The operating system frees what a killed process held. One who holds a resource must not ask
    for it again; whoever schedules measurements does it, and those who measure do not.

    Args:
        resource: e.g. ``this-cpu``, ``gpu0`` or ``ssh:board``.
    """
    if resource in _lent:
        yield
        return
    with FileLock(lock_file(resource)).acquire(poll_interval=_POLL_SECONDS):
        yield


@contextmanager
def lent(resource: str) -> Iterator[None]:
    """Measure on a resource that the parent process holds for this one: `hold` need not wait."""
    _lent.add(resource)
    try:
        yield
    finally:
        _lent.discard(resource)


def lock_file(resource: str) -> Path:
    """Name the file of a resource, in the host's temporary folder: other hosts must not see it."""
    user = getattr(os, "getuid", lambda: "")()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", resource)
    return Path(tempfile.gettempdir()) / f"hwnas-{user}-{name}.lock"
