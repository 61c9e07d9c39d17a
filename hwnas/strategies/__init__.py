"""Search algorithms that know no host.

A `Proposer` is the algorithm: a function from what is known (`History`) to the next architecture.
`AskTell` makes a `hwnas.typing.Strategy` of it; the Optuna sampler calls the same function.
"""

from __future__ import annotations

from typing import Any

from hwnas import registry
from hwnas.strategies.ask_tell import AskTell
from hwnas.strategies.history import History, Proposer
from hwnas.strategies.problem import Knowledge, Problem

__all__ = ["AskTell", "History", "Knowledge", "Problem", "Proposer", "make_proposer"]


def make_proposer(name: str, problem: Problem[Any]) -> Proposer[Any]:
    """Make an algorithm by name, with its default settings.

    Raises:
        UnknownNameError: no such algorithm; suggests the closest name.
        InvalidValueError: the algorithm needs knowledge that the problem has not.
    """
    proposer: Proposer[Any] = registry.load("strategies", name)(problem)
    return proposer
