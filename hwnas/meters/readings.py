"""Readings that grow with the energy that a device takes: counters, and sampled power."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from hwnas.errors import InvalidValueError


@dataclass
class Reading:
    """Energy in mJ since it was opened, with facts of how it is read.

    Attributes:
        read: gives the mJ.
        facts: rail, instrument and so on, by name.
    """

    read: Callable[[], float]
    facts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> float:
        """Give the mJ since it was opened."""
        return self.read()


class Counter:
    """A counter that wraps around, as mJ that only grow.

    It must be read more often than it wraps around.

    Args:
        read: gives the counter in `unit_mj`.
        unit_mj: mJ of one step of the counter.
        range: largest number, behind which it starts at 0; None if it does not wrap around.
    """

    def __init__(
        self, read: Callable[[], int], unit_mj: float = 1.0, range: int | None = None
    ) -> None:
        self._read, self._unit, self._range = read, unit_mj, range
        self._last, self._sum = read(), 0

    def __call__(self) -> float:
        """Give the mJ since it was made.

        Raises:
            InvalidValueError: the counter went back, and does not wrap around.
        """
        now = self._read()
        step = now - self._last
        if step < 0:
            if self._range is None:
                raise InvalidValueError(
                    f"`meter` must read a counter that grows, but it fell from {self._last} to "
                    f"{now}: the driver was loaded again, or another process set it back."
                )
            step += self._range + 1
        self._last = now
        self._sum += step
        return self._sum * self._unit


@contextmanager
def integrated(power_mw: Callable[[], float], seconds: float) -> Iterator[Callable[[], float]]:
    """Sample power in a thread while the context is open, and integrate it by trapezoids.

    Args:
        power_mw: gives the power in mW.
        seconds: time between two samples.

    Returns:
        A function that gives the mJ up to the last sample.

    Raises:
        InvalidValueError: in that function, where a sample could not be read.
    """
    sampler = _Sampler(power_mw, seconds)
    sampler.start()
    try:
        yield sampler.energy_mj
    finally:
        sampler.stop()


class _Sampler(threading.Thread):
    def __init__(self, power_mw: Callable[[], float], seconds: float) -> None:
        super().__init__(daemon=True)
        self._power, self._seconds = power_mw, seconds
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._energy_mj = 0.0
        self._at, self._last_mw = perf_counter(), power_mw()

    def run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._add(perf_counter(), self._power())
            except Exception as error:  # whatever the sensor raises
                self._error = error
                return

    def _add(self, at: float, power_mw: float) -> None:
        # E = sum of (t_i - t_{i-1}) (P_i + P_{i-1}) / 2; mW times s is mJ
        self._energy_mj += (at - self._at) * (power_mw + self._last_mw) / 2
        self._at, self._last_mw = at, power_mw

    def energy_mj(self) -> float:
        if self._error is not None:
            raise InvalidValueError(
                f"`meter` must read power all the time, but it failed: {self._error}."
            ) from self._error
        return self._energy_mj

    def stop(self) -> None:
        self._ended.set()
        self.join()
