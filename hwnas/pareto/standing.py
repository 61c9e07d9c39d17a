"""What a score is worth where no accuracies are known: its place among networks of the space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwnas.pareto.pareto_set import ParetoSet

SUFFIX = "_better_than"


def share_below(value: float, reference: Sequence[float]) -> float:
    """Give the share, 0 to 1, of `(n,)` reference scores that are lower; equal ones count half.

    Example:
        >>> share_below(2.0, [1.0, 2.0, 3.0, 4.0])
        0.375
    """
    known = np.asarray(reference, dtype=np.float64)
    return float(np.mean(np.where(known == value, 0.5, known < value)))


def with_standing(front: ParetoSet, references: Mapping[str, Sequence[float]]) -> ParetoSet:
    """Add to the members' attributes which share of a reference sample they exceed.

    Args:
        front: the Pareto set.
        references: `(n,)` scores of reference networks by the name of an objective, larger is
            better.

    Returns:
        The set with the attribute ``NAME_better_than``, 0 to 1, of each such objective.
    """
    columns = [objective.name for objective in front.objectives]
    places = [(columns.index(name), name) for name in references if name in columns]
    members = [
        replace(
            member,
            attributes={
                **member.attributes,
                **{
                    f"{name}{SUFFIX}": share_below(member.values[place], references[name])
                    for place, name in places
                },
            },
        )
        for member in front.members
    ]
    return replace(front, members=tuple(members)) if places else front


def standings(front: ParetoSet) -> list[str]:
    """Say for each score between which shares of the reference networks the members lie."""
    lines = []
    for objective in front.objectives:
        shares = [m.attributes.get(f"{objective.name}{SUFFIX}") for m in front.members]
        known = [100 * share for share in shares if share is not None]
        if known:
            ends = dict.fromkeys(f"{share:.0f}" for share in (min(known), max(known)))
            lines.append(
                f"{objective.name}: the members rank better than {' to '.join(ends)} % of networks "
                f"drawn from the space."
            )
    return lines
