"""What the threads of a process share: one of them at a time may change it and put it back.

The random generators of PyTorch, NumPy and Python, PyTorch's settings and levels of forward-mode
derivatives, `sys.stdout` and the filters of warnings belong to the process. Two threads that change
one at a time, as those of an Optuna study with `n_jobs` would, draw from each other's generators,
and the one that ends last puts back what the other one had set, not what was there before.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Turn:
    """A lock that one thread may take several times, and that says whether this one has it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0

    @property
    def is_mine(self) -> bool:
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner, self._depth = threading.get_ident(), self._depth + 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
        self._lock.release()


PROCESS_STATE = _Turn()
"""Held by whoever changes such state, until it is as it was.

Who holds a resource to measure on it (`hwnas.measure.resource_lock`) builds networks meanwhile, and
so waits for this: whoever holds this waits for no resource that another thread has, lest the two
wait for each other.
"""


@contextmanager
def unwarned(category: type[Warning] = Warning) -> Iterator[None]:
    """Let warnings of a category go unheard meanwhile.

    Args:
        category: the warnings' class.
    """
    with PROCESS_STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
