"""Measuring in a child process: a crash, a hang or exhausted memory ends one measurement, no study.

The whole measurement happens in the child, its clocks included, so that talking to another process
is no part of any value. The child is started afresh, never forked, lives on from one network to the
next, and is replaced when one has ended it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as TimeIsUp
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hwnas.errors import HwnasError, InvalidValueError

T = TypeVar("T")
_START_SECONDS = 300.0
_GRACE_SECONDS = 10
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Limits:
    """What one measurement may take, the building of its network included.

    Attributes:
        seconds: time; the child's start is not counted.
        memory_bytes: memory beyond what the child has when it is ready; None for no limit. Needs
            Linux.

    Raises:
        InvalidValueError: a limit is not above 0, or memory cannot be limited here.
    """

    seconds: float = 600.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        for name, value in (("seconds", self.seconds), ("memory_bytes", self.memory_bytes)):
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise InvalidValueError(f"`limit_{name}` must be above 0, but got {value!r}.")
        if self.memory_bytes is not None and not _STATUS.is_file():
            raise InvalidValueError(
                f"`limit_memory_bytes` must be left out on {sys.platform}: only Linux tells what a "
                f"process has."
            )


class Child:
    """A process that calls one function after another; it is started when it is needed.

    Args:
        limits: what one call may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._one_call = threading.Lock()
        self._executor: Any = None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the child and give what it returns.

        Raises:
            HwnasError: the function's own, or the reason why it came to no end.
        """
        with self._one_call:
            try:
                future = self._ready().submit(_within, self._limits.seconds, function, arguments)
                result, error = future.result(self._limits.seconds)
            except BaseException as trouble:
                # Nobody knows what the child is up to: the next call gets another one.
                self.close()
                if not isinstance(trouble, Exception):
                    raise
                raise InvalidValueError(self._reason(trouble)) from trouble
        if error is not None:
            raise error
        found: T = result
        return found

    def close(self) -> None:
        """End the process."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def _ready(self) -> Any:
        """Give the executor of a child that has imported what is slow to import."""
        if self._executor is None:
            from joblib.externals.loky import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(max_workers=1)
            self._executor.submit(_prepare, self._limits.memory_bytes).result(_START_SECONDS)
        return self._executor

    def _reason(self, trouble: Exception) -> str:
        if isinstance(trouble, TimeIsUp):
            return (
                f"`limit_seconds` must be enough for a measurement, but it did not end within "
                f"{self._limits.seconds:g} s."
            )
        # Loky names what ended a process in braces.
        ended = re.search(r"\{(.+)\}", str(trouble))
        how = ended[1] if ended else _first_line(trouble)
        return f"`model` must be measurable, but it ended its process: {how}."


@cache
def child_with(limits: Limits) -> Child:
    """Give this process's child with these limits."""
    return Child(limits)


def _prepare(memory_bytes: int | None) -> None:
    """Import what is slow, silence what a crash prints, and limit the memory from here on."""
    import hwnas.measure.measuring  # noqa: F401

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if memory_bytes is not None:
        import resource

        kilobytes = re.search(r"VmData:\s*(\d+) kB", _STATUS.read_text())
        assert kilobytes is not None
        most = int(kilobytes[1]) * 1024 + int(memory_bytes)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _within(
    seconds: float, function: Callable[..., T], arguments: tuple[Any, ...]
) -> tuple[T | None, HwnasError | None]:
    """Call in the child; the system ends it where nobody is left who would."""
    alarm = getattr(signal, "alarm", lambda seconds: seconds)
    alarm(int(seconds) + _GRACE_SECONDS)
    try:
        return function(*arguments), None
    except HwnasError as error:
        return None, error
    except MemoryError:
        text = "`limit_memory_bytes` must be enough for a measurement, but it needs more."
        return None, InvalidValueError(text)
    except Exception as error:
        # A network of a user may raise anything.
        text = f"`model` must be measurable, but raised {type(error).__name__}: "
        return None, InvalidValueError(text + _first_line(error))
    finally:
        alarm(0)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
