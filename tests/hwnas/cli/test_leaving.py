from __future__ import annotations

import threading

from hwnas.cli.leaving import end_children


def test_threads_that_take_semaphores_apart_are_waited_for() -> None:
    """Loky's tracker warned of a leaked semaphore where the process ended meanwhile."""
    apart, go = threading.Event(), threading.Event()

    def feed() -> None:
        go.wait()
        threading.Event().wait(0.05)
        apart.set()

    threading.Thread(target=feed, name="QueueFeederThread", daemon=True).start()
    go.set()
    end_children()
    assert apart.is_set()
