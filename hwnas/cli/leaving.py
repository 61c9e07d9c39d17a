"""The end of a command: children are ended at once, and this process takes nothing apart.

To unload PyTorch takes a process the better part of a second, when all results are written.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading

_FEEDER_SECONDS = 2.0


class Leaving:
    """Ends the process when everything else that is to be done at its end is done.

    Attributes:
        code: the exit code; 1 until it is known, as for an exception of Python's.
    """

    def __init__(self) -> None:
        self.code = 1
        # What is registered first is called last, and main registers before it imports the rest.
        atexit.register(self._leave)

    def _leave(self) -> None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads any more
            self.code = self.code or 1
        os._exit(self.code)


def end_children() -> None:
    """End the processes that measured and scored, if there are any."""
    if (processes := sys.modules.get("hwnas.measure.child_process")) is not None:
        processes.end_children()
    pool = sys.modules.get("joblib.externals.loky.reusable_executor")
    if pool is not None and pool._executor is not None:
        pool._executor.shutdown(wait=True, kill_workers=True)
    # A thread that fed a pool takes its semaphores apart after the pool has ended: cut off in the
    # midst, loky's tracker warns of one that leaked.
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(_FEEDER_SECONDS)
