"""Evaluation: sources of values, objectives made of them, and the evaluator that caches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.evaluation.evaluator import Evaluation, Evaluator

__all__ = ["Evaluation", "Evaluator"]


def __getattr__(name: str) -> Any:
    """Import the evaluator when it is asked for: the command line opens caches without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hwnas.evaluation import evaluator

    return getattr(evaluator, name)
