"""Where the code of a user runs that describes networks: here, or where it can do no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from hwnas.spaces.options import Choose
from hwnas.tasks.task import Task

T = TypeVar("T")


class Elsewhere(Protocol):
    """Runs functions: in this process, or in one that may die, and that is ended in time."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function.

        Raises:
            InvalidValueError: it gave nothing; says why.
        """

    def call_for(
        self, network: tuple[Any, object, Task | None], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Call a function of a network; one that never ended is not waited for again.

        Args:
            network: its space, its canonical key, or where it has none the architecture, and the
                task that it is built for; the space's own if None.
            function: what is called.
            arguments: of the function.

        Raises:
            InvalidValueError: it gave nothing, now or before; says why.
        """

    def converse(self, function: Callable[[Choose], T], choose: Choose) -> T:
        """Call a function of a chooser, which is asked in this process.

        Raises:
            InvalidValueError: it gave nothing; says why.
        """


class _Here:
    """Runs functions in this process."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function."""
        return function(*arguments)

    def call_for(
        self, network: tuple[Any, object, Task | None], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Call a function of a network."""
        del network
        return function(*arguments)

    def converse(self, function: Callable[[Choose], T], choose: Choose) -> T:
        """Call a function of a chooser."""
        return function(choose)


HERE: Elsewhere = _Here()
