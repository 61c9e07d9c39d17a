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

PROCESS_STATE = threading.RLock()
"""Held by whoever changes such state, until it is as it was.

Who holds a resource to measure on it (`hwnas.measure.resource_lock`) builds networks meanwhile, and
so waits for this: whoever holds this asks for no resource, lest the two wait for each other.
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
