"""Keep what native libraries print away from the user's output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(stream: int) -> Iterator[None]:
    """Send what the process writes to a stream, 1 or 2 (errors), to nowhere meanwhile."""
    flush = {1: sys.stdout, 2: sys.stderr}[stream].flush
    flush()
    kept, nowhere = os.dup(stream), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    try:
        yield
    finally:
        flush()
        os.dup2(kept, stream)
        os.close(kept)
        os.close(nowhere)
