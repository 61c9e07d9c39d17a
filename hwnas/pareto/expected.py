"""What training the members of a front is expected to give, told with the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.pareto.pareto_set import Member, ParetoSet
from hwnas.pareto.provenance import plain
from hwnas.ranking.accuracy_model import Accuracies

EXPECTED, LOW, HIGH = "accuracy_expected", "accuracy_low", "accuracy_high"
AMONG_BEST = "chance_among_best_1_percent"


def with_expectations(
    front: ParetoSet,
    told: Accuracies,
    rows: Sequence[int],
    population: npt.ArrayLike,
    origin: Mapping[str, Any] | None = None,
) -> ParetoSet:
    """Add to the members' attributes what their accuracy is expected to be.

    Args:
        front: the front of `n` members.
        told: accuracies of a pool that holds the members and networks drawn from the space.
        rows: `(n,)` where the members are in the pool.
        population: indices of the drawn networks, whose best hundredth is meant.
        origin: what the labels are, kept in the provenance under ``expected``.

    Returns:
        The set with the attributes `EXPECTED`, `LOW` and `HIGH` in percent (the interval of one
        training, 95 %) and `AMONG_BEST`, 0 to 1.
    """
    low, high = told.interval()
    columns = {
        EXPECTED: told.expected(),
        LOW: low,
        HIGH: high,
        AMONG_BEST: told.chance_among_best(of=population),
    }
    members = tuple(
        replace(m, attributes={**m.attributes, **{n: float(c[i]) for n, c in columns.items()}})
        for m, i in zip(front.members, rows, strict=True)
    )
    report = {"labels": told.labels, "drawn": len(np.asarray(population)), **(origin or {})}
    return replace(
        front, members=members, provenance={**front.provenance, "expected": plain(report)}
    )


def has_expectations(front: ParetoSet) -> bool:
    """Tell whether something is expected of some member."""
    return any(EXPECTED in member.attributes for member in front.members)


def expectation_text(member: Member) -> str:
    """Write a member's expected accuracy with its interval; a dash where nothing is expected.

    Example:
        >>> told = {EXPECTED: 71.23, LOW: 68.0, HIGH: 73.45, AMONG_BEST: 0.4}
        >>> expectation_text(Member("a", "k", (), told))
        '71.2 (68.0 to 73.5)'
    """
    expected, low, high = (member.attributes.get(name) for name in (EXPECTED, LOW, HIGH))
    if expected is None or low is None or high is None:
        return "–"
    return f"{expected:.1f} ({low:.1f} to {high:.1f})"


def chance_text(member: Member) -> str:
    """Write the chance to be among the best hundredth of the space, in percent."""
    chance = member.attributes.get(AMONG_BEST)
    return "–" if chance is None else f"{100 * chance:.0f} %"
