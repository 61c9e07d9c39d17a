"""Keep what native libraries print away from the user's output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quiet(stream: int, into: Path | None = None) -> Iterator[None]:
    """Send what the process writes to a stream, 1 or 2 (errors), to a file or nowhere meanwhile."""
    flush = {1: sys.stdout, 2: sys.stderr}[stream].flush
    flush()
    kept = os.dup(stream)
    nowhere = os.open(into or os.devnull, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(nowhere, stream)
    try:
        yield
    finally:
        flush()
        os.dup2(kept, stream)
        os.close(kept)
        os.close(nowhere)
