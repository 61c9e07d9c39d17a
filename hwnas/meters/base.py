"""What a meter is: a reading that grows while a network runs.

How known things are spelled in these terms:

- the wall clock and the CPU clock of the calling thread are readings in ms, of the metric
  ``latency``; any window will do;
- the energy counter of a GPU is a reading in mJ, of the metric ``energy``; it is renewed ten times
  a second, so that a window shorter than a second means nothing;
- sampled power is integrated into such a reading while the meter is open;
- energy grows while nothing runs: such a meter has the attribute ``grows_idle``, and is measured in
  longer windows with the device idle before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from hwnas.runtimes.base import Place

Read = Callable[[], float]


class Meter(Protocol):
    """What is read before and after runs: the difference is what they took.

    Its name is that in the registry; the class is made without arguments.
    """

    @property
    def name(self) -> str:
        """Name in the table of meters."""

    @property
    def metric(self) -> str:
        """What is measured, e.g. ``latency`` or ``energy``."""

    @property
    def unit(self) -> str:
        """Unit of the readings, e.g. ``ms`` or ``mJ``."""

    @property
    def window_seconds(self) -> float:
        """Shortest time between two readings whose difference means something; 0 for any."""

    def sees(self, place: Place) -> bool:
        """Tell whether the readings cover all of the work that is done there."""

    def open(self, place: Place) -> AbstractContextManager[Read]:
        """Start, and give the function that reads; `HwnasError` if there is nothing to read.

        The function may have ``facts``: what a reader of the values must know, as texts by name.
        """


@runtime_checkable
class Sensor(Meter, Protocol):
    """A meter that needs something to read: it says beforehand what is missing."""

    def missing(self, place: Place) -> str:
        """Say why there is nothing to read for this place; empty if there is something."""
