"""Freed memory that stays with the process."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEPT, _STEP, _LARGEST = 2**29, 2**26, 2**28


@cache
def keep_freed_memory() -> bool:
    """Keep up to 512 MiB of freed memory, so that the next network's maps need no new pages.

    Maps of some megabytes come and go with each layer; where glibc gives them back to the system
    and asks for them again, new pages take a tenth of the time of a pass. It holds for the rest of
    the process.

    Returns:
        Whether the process's allocator could be told: glibc's on Linux.
    """
    if sys.platform != "linux":
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _STEP))
    return all(tell(parameter, value) == 1 for parameter, value in settings)
