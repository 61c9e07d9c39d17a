"""One measurement at a time on a resource, over all processes of this host."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from hwnas.errors import InvalidValueError
from hwnas.process_state import PROCESS_STATE

_POLL_SECONDS = 0.02


_here: dict[str, int] = {}
"""Resources that threads of this process hold or wait for, and how many these are."""
_COUNTED = threading.Lock()
_lent: set[str] = set()
"""Resources that the parent process holds for this one."""


@contextmanager
def hold(resource: str) -> Iterator[None]:
    """Wait until no other process or thread of the user holds a resource, and hold it meanwhile.

    The operating system frees what a killed process held. One who holds a resource must not ask
    for it again; whoever schedules measurements does it, and those who measure do not.

    Args:
        resource: e.g. ``this-cpu``, ``gpu0`` or ``ssh:board``.

    Raises:
        InvalidValueError: this thread must not wait for another one of this process, since that one
            would wait for what this one changes (`hwnas.process_state`).
    """
    if resource in _lent:
        yield
        return
    with _counted(resource), _acquired(resource):
        yield


def _acquired(resource: str) -> AcquireReturnProxy:
    """Wait for a resource; who holds the state of the process waits for other processes alone."""
    lock = FileLock(lock_file(resource))
    while PROCESS_STATE.is_mine:
        with contextlib.suppress(Timeout):
            return lock.acquire(timeout=0)
        if _here[resource] > 1:
            raise InvalidValueError(
                f"`feasible`, or what else holds the random generators of this process, must not "
                f"measure on {resource} while another thread does, since each would wait for the "
                f"other: measure in the objective, and say there what is infeasible by "
                f"`trial.set_constraint`, or run without `n_jobs`."
            )
        time.sleep(_POLL_SECONDS)
    return lock.acquire(poll_interval=_POLL_SECONDS)


@contextmanager
def _counted(resource: str) -> Iterator[None]:
    with _COUNTED:
        _here[resource] = _here.get(resource, 0) + 1
    try:
        yield
    finally:
        with _COUNTED:
            _here[resource] -= 1


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
