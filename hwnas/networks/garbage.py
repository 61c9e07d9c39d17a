"""Python's collection of garbage, kept out of work that leaves none or little."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Collect no garbage meanwhile.

    A full collection looks at all that was ever imported, and copies of networks are enough new
    objects to ask for one every few networks. What goes out of use is freed all the same, but for
    objects that refer to each other in a circle: those wait for the first collection afterwards,
    which looks at the new objects alone.

    It is a setting of the process: where several threads are inside, the first one that leaves may
    switch collections on for the others.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
