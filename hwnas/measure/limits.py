"""What a call in a child process may take, and what is said of one that gave nothing."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from hwnas.errors import InvalidValueError

STATUS = Path("/proc/self/status")
"""Where Linux tells what a process has."""
LONGEST_SECONDS = 1e9
"""What timers can wait."""
IMPORT_SECONDS = 300.0
"""What importing a module has at least, and a process to start."""


@dataclass(frozen=True)
class Limits:
    """What one call may take, the building of its network included.

    Attributes:
        seconds: time; the child's start, and importing what the function and its arguments need,
            are not counted. None for no limit.
        memory_bytes: memory beyond what the child has when the call begins; None for no limit.
            Needs Linux.

    Raises:
        InvalidValueError: a limit is not above 0, time is above `LONGEST_SECONDS`, or memory cannot
            be limited here.
    """

    seconds: float | None = 600.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        for name, value in (("seconds", self.seconds), ("memory_bytes", self.memory_bytes)):
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise InvalidValueError(f"`limit_{name}` must be above 0, but got {value!r}.")
        if self.seconds is not None and not self.seconds <= LONGEST_SECONDS:
            raise InvalidValueError(
                f"`limit_seconds` must be at most {LONGEST_SECONDS:g}, but got {self.seconds!r}."
            )
        if self.memory_bytes is not None and not STATUS.is_file():
            raise InvalidValueError(
                f"`limit_memory_bytes` must be left out on {sys.platform}: only Linux tells what a "
                f"process has."
            )

    @property
    def import_seconds(self) -> float | None:
        """Time for importing what a call needs, which is apart from the call's; None for no end."""
        return None if self.seconds is None else max(self.seconds, IMPORT_SECONDS)


UNLIMITED = Limits(None)
MEMORY = Path("/proc/meminfo")
"""Where Linux tells what memory there is."""


@cache
def memory_left() -> int | None:
    """Give the bytes that this machine had left when it was first asked; None but on Linux."""
    text = MEMORY.read_text() if MEMORY.is_file() else ""
    found = re.search(r"MemAvailable:\s*(\d+) kB", text)
    return int(found[1]) * 1024 if found and STATUS.is_file() else None


def within_memory(limits: Limits) -> Limits:
    """Bound the memory, where nothing else does, by what there is: more ends other processes."""
    if limits.memory_bytes is not None:
        return limits
    return replace(limits, memory_bytes=memory_left())


class CallError(InvalidValueError):
    """A call gave nothing, by no fault that hwnas knows: it raised, ended its child or hung."""


class ChildEndedError(CallError):
    """A call ended its child, or was ended for its time."""


class EndlessError(ChildEndedError):
    """A call was ended for its time."""


class UnreachableError(CallError):
    """What measures is away: no network's fault, and no other one would be measured either."""


class ForgottenError(InvalidValueError):
    """A child does not have a function that it was sent before: it was replaced meanwhile."""


class NotSendableError(InvalidValueError):
    """A function or its arguments cannot be sent to another process."""
