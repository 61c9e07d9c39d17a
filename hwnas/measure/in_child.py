"""What runs in a child process of `hwnas.measure.isolation`, and what is sent there and back."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hwnas.errors import HwnasError
from hwnas.measure.limits import STATUS, CallError, ForgottenError, Limits, NotSendableError

_GRACE_SECONDS = 10
_LOOK_SECONDS = 1.0
_GROWN_BYTES = 3 * 2**29
"""What a child may have more than at first: `keep_freed_memory`'s 512 MiB, and holes between."""
_NO_MEMORY = re.compile(
    r"can't allocate memory|Cannot allocate memory|bad_alloc|Failed to allocate"
)
_LOG = logging.getLogger("hwnas")
_kept: dict[bytes, Any] = {}
"""The functions that were sent, by their digests."""
_prepared: list[int] = []
"""The parent of this process, if it is a child that runs calls."""


def is_child() -> bool:
    """Tell whether this process runs the calls of another one, within its limits."""
    return bool(_prepared)


def text_of(error: BaseException) -> str:
    """Write an exception as type and message."""
    return f"{type(error).__name__}: {error}"


def pickled(value: Any) -> bytes:
    """Give a value as bytes; `NotSendableError` if it has no such form."""
    from joblib.externals.loky.backend.reduction import dumps

    try:
        return bytes(dumps(value))
    except Exception as error:  # whatever an object of the user raises
        raise NotSendableError(
            f"`model` must be something that can be sent to another process, but it raised "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def place() -> tuple[str, list[str]]:
    """Give what a child must share with this process to find the same modules and files."""
    return os.getcwd(), list(sys.path)


def prepare(parent: int) -> None:
    """Import what is slow, stay for the next call, and silence what a crash prints."""
    from joblib.externals.loky import process_executor

    from hwnas.networks.garbage import without_garbage_collection

    with without_garbage_collection():
        import hwnas.measure.measuring
        import hwnas.proxies.engine.scoring  # noqa: F401
    gc.freeze()  # no collection need look at what is imported for good
    # Loky replaces a process that has grown by 300 MB. Memory that is kept for the next network
    # is no leak, and a process anew for each network doubles the time of a small one.
    process_executor._MAX_MEMORY_LEAK_SIZE = _GROWN_BYTES
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _without_semaphores()
    _prepared.append(parent)
    _end_with(parent)


def _without_semaphores() -> None:
    """Let bars of progress, as PyTorch's exporter makes one, take a lock of this process alone.

    Theirs by default is a named semaphore of the system, which a process that is killed leaves:
    Python would complain of it when the command has ended.
    """
    with suppress(ImportError):
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())


@contextmanager
def _memory_within(memory_bytes: int | None) -> Iterator[None]:
    """Bound the memory of this process by what it has now and `memory_bytes` more."""
    if memory_bytes is None:
        yield
        return
    import resource

    kilobytes = re.search(r"VmData:\s*(\d+) kB", STATUS.read_text())
    assert kilobytes is not None
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(kilobytes[1]) * 1024 + int(memory_bytes), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _end_with(parent: int) -> None:
    """End this process within seconds of its parent's death, which loky itself does not."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    if hasattr(os, "getppid"):
        threading.Thread(target=look, name="hwnas-parent", daemon=True).start()


class _Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as text."""
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)


def load(
    seconds: float | None,
    place: tuple[str, list[str]],
    digest: bytes,
    sent: bytes,
    given: bytes,
    forget: bool,
) -> bytes | None:
    """Import what a function and its arguments need, and keep the function.

    Args:
        seconds: longest time; None for no limit.
        place: current folder and search path of modules.
        digest: of the pickled function.
        sent: the function, pickled.
        given: its arguments, pickled.
        forget: forget the functions that were sent before.

    Returns:
        What was raised, pickled; None if nothing was.
    """
    if forget:
        _kept.clear()
    with _at(place, seconds):
        try:
            _kept[digest] = pickle.loads(sent)
            pickle.loads(given)
        except Exception as error:  # whatever importing a module of the user raises
            return pickled(
                NotSendableError(f"`model` must be importable, but raised {text_of(error)}")
            )
    return None


@contextmanager
def _at(place: tuple[str, list[str]], seconds: float | None) -> Iterator[None]:
    """Be where the parent is; the system ends the process where nobody is left who would."""
    alarm = getattr(signal, "alarm", lambda seconds: seconds)
    if seconds is not None:
        alarm(int(seconds) + _GRACE_SECONDS)
    os.chdir(place[0])
    sys.path[:] = place[1]
    try:
        yield
    finally:
        alarm(0)


def within(
    limits: Limits,
    place: tuple[str, list[str]],
    digest: bytes,
    given: bytes,
) -> bytes:
    """Call a function that was sent before, and give result, error and log records, pickled.

    Args:
        limits: what it may take.
        place: current folder and search path of modules.
        digest: of the pickled function.
        given: its arguments, pickled.
    """
    said = _Said()
    _LOG.addHandler(said)
    try:
        with _at(place, limits.seconds):
            answer: Any = (*_called(limits, digest, given), said.records)
            try:
                return pickled(answer)
            except NotSendableError as error:
                return pickled((None, error, said.records))
    finally:
        _LOG.removeHandler(said)


def _called(limits: Limits, digest: bytes, given: bytes) -> tuple[Any, HwnasError | None]:
    if digest not in _kept:
        return None, ForgottenError("`function` must be sent again.")
    try:
        function, arguments = _kept[digest], pickle.loads(given)
    except Exception as error:  # whatever importing a module of the user raises
        return None, NotSendableError(f"`model` must be importable, but raised {text_of(error)}")
    try:
        with _memory_within(limits.memory_bytes):
            return function(*arguments), None
    except Exception as error:  # whatever a network of the user raises
        if _lacked_memory(error):
            needed = f"more than {limits.memory_bytes:,} bytes" if limits.memory_bytes else "more"
            return None, CallError(
                f"`limit_memory_bytes` must be enough for one network, but it needs {needed}: "
                f"{first_line(error)}"
            )
        return None, error if isinstance(error, HwnasError) else CallError(text_of(error))


def _lacked_memory(error: BaseException | None) -> bool:
    """Tell whether memory is what an error, or one that it came from, is about."""
    while error is not None:
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__
    return False


def first_line(error: BaseException) -> str:
    """Give the first line of an exception's text, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
