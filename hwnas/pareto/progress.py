"""How the front of a search grew: its hypervolume over the evaluated architectures."""

from __future__ import annotations

import numpy as np

from hwnas.pareto.metrics import hypervolume, is_non_dominated, to_losses
from hwnas.pareto.pareto_set import ParetoSet

_MOST_OBJECTIVES = 4


def hypervolumes(front: ParetoSet) -> list[tuple[int, float]]:
    """Give the hypervolume of what was evaluated so far, each time that it grew.

    The reference point is the worst value of each objective among all that is complete, and values
    are scaled to their range, so that 1 is the ideal point's.

    Args:
        front: with its evaluated architectures.

    Returns:
        Pairs of number evaluated, from 1, and hypervolume in [0, 1]; nothing where there is one
        objective, where there are more than four, or where nothing was kept.
    """
    rows = [(i, r.values) for i, r in enumerate(front.evaluated, 1) if r.status == "complete"]
    if not rows or not 1 < len(front.objectives) <= _MOST_OBJECTIVES:
        return []
    losses = to_losses(np.array([values for _, values in rows], dtype=np.float64), front.directions)
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    reference = np.ones(losses.shape[1])
    found: list[tuple[int, float]] = []
    kept = np.empty((0, losses.shape[1]))
    for (number, _), point in zip(rows, scaled, strict=True):
        if len(kept) and (kept <= point).all(axis=1).any():
            continue
        kept = np.vstack([kept, point])
        kept = kept[is_non_dominated(kept)]
        found.append((number, round(float(hypervolume(kept, reference)), 6)))
    return found
