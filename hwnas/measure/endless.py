"""Networks that did not end in time: nobody waits for one of them twice.

A network is built, traced, counted, scored and measured by calls that know nothing of each other.
One that hangs would cost each of them all of its time. What is known of networks is of one run,
e.g. a search: a cause may be gone in the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from hwnas.measure.limits import EndlessError, Limits
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace

ENDLESS = 2
"""Networks that do not end, after which a look at several expects no other of the rest to."""
_known: dict[str, tuple[float, str]] = {}
"""The longest time in which a network did not end, and what was said of it, by its name."""


def network_name(space: SearchSpace[Arch], key: object, task: Task | None = None) -> str:
    """Name a network.

    Args:
        space: its space.
        key: its canonical key; where it has none, the architecture is one.
        task: what it is built for; the space's own, if it has one, if None.
    """
    if task is None:  # not every space has its own
        task = getattr(space, "default_task", None)
    return f"{space_name(space)}{task}|{key}"


def space_name(space: SearchSpace[Arch]) -> str:
    """Give what the names of all networks of a space begin with."""
    return f"{getattr(space, 'wrapped', space)!r}|"


def endless(network: str, limits: Limits | None) -> str | None:
    """Say that a network did not end in as much time as it has now; None if it may end."""
    seconds, reason = _known.get(network, (0.0, ""))
    return reason if limits is not None and _seconds(limits) <= seconds else None


@contextmanager
def once(network: str, limits: Limits) -> Iterator[None]:
    """Call something of a network in the block, unless it is known not to end within the limits.

    Args:
        network: see `network_name`.
        limits: of the call.

    Raises:
        EndlessError: the call did not end in time, or an earlier one in as much.
    """
    if (reason := endless(network, limits)) is not None:
        raise EndlessError(reason)
    try:
        yield
    except EndlessError as error:
        remember(network, limits, error)
        raise


def forget() -> None:
    """Know nothing of any network, where a run begins."""
    _known.clear()


def remember(network: str, limits: Limits, error: EndlessError) -> None:
    """Keep in mind that a network did not end within the limits."""
    _known[network] = (_seconds(limits), str(error))


def _seconds(limits: Limits) -> float:
    return math.inf if limits.seconds is None else limits.seconds
