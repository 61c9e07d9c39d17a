"""Clocks: latency by wall-clock time, by the CPU time of the calling thread, or by the device.

The CPU time leaves out the time that other processes run: on a busy machine it repeats better
between processes (`benchmarks/latency/repeatability.py` prints by how much; an idle machine was not
compared). It is not what a user of a busy machine waits for, and it sees the calling thread alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns, thread_time_ns
from typing import ClassVar

from hwnas.meters.base import Read
from hwnas.runtimes.base import Place


class EventClock:
    """What a device counts itself, e.g. by CUDA events: without what the calling thread adds."""

    name: ClassVar[str] = "events"
    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    window_seconds: ClassVar[float] = 0.0

    def sees(self, place: Place) -> bool:
        """The device's work, where it counts it."""
        return place.clock is not None

    @contextmanager
    def open(self, place: Place) -> Iterator[Read]:
        """Read the time in ms that the device spent on runs so far."""
        assert place.clock is not None
        yield place.clock


class ThreadClock:
    """CPU time of the calling thread."""

    name: ClassVar[str] = "cpu"
    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    window_seconds: ClassVar[float] = 0.0

    def sees(self, place: Place) -> bool:
        """Only what the calling thread does itself."""
        return place.own_thread

    @contextmanager
    def open(self, place: Place) -> Iterator[Read]:
        """Read the thread's time in ms."""
        del place
        yield lambda: thread_time_ns() / 1e6


class WallClock:
    """Time that passes."""

    name: ClassVar[str] = "wall"
    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    window_seconds: ClassVar[float] = 0.0

    def sees(self, place: Place) -> bool:
        """Everything, wherever it runs."""
        del place
        return True

    @contextmanager
    def open(self, place: Place) -> Iterator[Read]:
        """Read the monotonic clock in ms."""
        del place
        yield lambda: perf_counter_ns() / 1e6
