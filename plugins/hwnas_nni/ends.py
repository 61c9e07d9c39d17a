"""Which trials ended without a report that can still come.

NNI gives parameters to trials in the order in which they ask, not to the trial that it made for
them: of two that start together each may run the other's. It tells of a report by the parameters
that were run, and of an end by those that the trial was made for. So an end without a report says
nothing as long as a trial of that time runs.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")


class Ends(Generic[Key]):
    """Match the ends of trials with their reports.

    Keys stand for parameters. Each is begun once, and ends once.
    """

    def __init__(self) -> None:
        self._running: set[Key] = set()
        self._reported: set[Key] = set()
        self._silent: dict[Key, set[Key]] = {}

    def begin(self, key: Key) -> None:
        """Note that a trial was made for parameters."""
        self._running.add(key)
        self._reported.discard(key)

    def report(self, key: Key) -> bool:
        """Note a report; True where the trial that was made for these parameters has ended."""
        if key in self._silent:
            del self._silent[key]
            return True
        self._reported.add(key)
        return False

    def end(self, key: Key) -> list[Key]:
        """Note an end; give the parameters that will be reported of no more."""
        self._running.discard(key)
        if key in self._reported:
            self._reported.remove(key)
        else:
            self._silent[key] = set(self._running)
        for others in self._silent.values():
            others.discard(key)
        lost = [silent for silent, others in self._silent.items() if not others]
        for silent in lost:
            del self._silent[silent]
        return lost
