"""Search algorithms that know no host.

A `Proposer` is the algorithm: a function from what is known (`History`) to the next architecture.
`AskTell` makes a `hwnas.typing.Strategy` of it; the Optuna sampler calls the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwnas import registry
from hwnas.files.grammar import read_component
from hwnas.strategies.ask_tell import AskTell
from hwnas.strategies.history import History, Proposer
from hwnas.strategies.problem import Knowledge, Problem

__all__ = ["AskTell", "History", "Knowledge", "Problem", "Proposer", "make_proposer"]


def make_proposer(
    strategy: str | Callable[[Problem[Any]], Proposer[Any]], problem: Problem[Any]
) -> Proposer[Any]:
    """Make an algorithm.

    Args:
        strategy: an algorithm as text, e.g. ``ageing-evolution:warm_up=64``, or what makes one of a
            problem, e.g. ``functools.partial(AgeingEvolution, warm_up=64)``.
        problem: what is searched.

    Raises:
        UnknownNameError: no such algorithm; suggests the closest name.
        InvalidValueError: the algorithm needs knowledge that the problem has not.
    """
    if not isinstance(strategy, str):
        return strategy(problem)
    component = read_component(strategy, "strategy")
    proposer: Proposer[Any] = registry.make(
        "strategies", component.name, problem, **component.settings
    )
    return proposer
