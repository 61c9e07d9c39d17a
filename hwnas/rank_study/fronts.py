"""The front that a score and a known cost give alone, and how good it is without an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.pareto.metrics import front_quality, is_non_dominated
from hwnas.typing import FloatArray


def front_of_score(scores: FloatArray, accuracies: FloatArray, costs: FloatArray) -> dict[str, Any]:
    """Rate the architectures that no other one beats in a score and a cost.

    Args:
        scores: (n,) scores, larger is better; NaN is on no front.
        accuracies: (n,) accuracies in percent, of which nothing is used but to rate.
        costs: (n,) costs, smaller is better; an architecture without one is no member of the
            population.

    Returns:
        ``front_members``, how many there are; ``front_tight_hypervolume`` and ``front_recall`` of
        their true accuracies and costs, see `hwnas.pareto.metrics.front_quality`.

    Example:
        A perfect score finds the whole front.

        >>> exact = np.array([1.0, 2.0, 3.0, 2.5])
        >>> front_of_score(exact, 10 * exact, np.array([1.0, 2.0, 3.0, 9.0]))["front_recall"]
        1.0
    """
    losses = np.column_stack([-accuracies, costs])
    rows = np.flatnonzero(np.isfinite(scores) & np.isfinite(costs))
    # Flags of a non-dominated set need no more than the order of a score, -inf included.
    found = rows[is_non_dominated(np.column_stack([-scores[rows], costs[rows]]))]
    quality = front_quality(losses[found], losses)
    return {
        "front_members": len(found),
        "front_tight_hypervolume": quality.tight_hypervolume,
        "front_recall": quality.recall,
    }
