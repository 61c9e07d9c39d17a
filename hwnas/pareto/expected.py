"""What training the members of a front is expected to give, told with the members."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.pareto.pareto_set import Member, ParetoSet
from hwnas.pareto.provenance import plain

if TYPE_CHECKING:  # learning imports much that showing does not need
    from hwnas.ranking.accuracy_model import Accuracies
    from hwnas.ranking.trained_classes import TrainedClasses

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
    columns = (told.expected(), low, high, told.chance_among_best(of=population))
    rated = [tuple(float(column[i]) for column in columns) for i in rows]
    report = {"labels": told.labels, "drawn": len(np.asarray(population)), **(origin or {})}
    return _with_columns(front, rated, report)


def with_known_accuracies(
    front: ParetoSet, known: TrainedClasses, origin: Mapping[str, Any] | None = None
) -> ParetoSet:
    """Add to the members' attributes the accuracies that are published of their networks.

    Args:
        front: the front.
        known: published trainings by canonical key.
        origin: what they are, kept in the provenance under ``expected``.

    Returns:
        The set with the attributes of `with_expectations` for each member that was trained; without
        interval and chance where no network of the space was trained twice. The same set where no
        member was.
    """
    trained = [member.key in known.rows for member in front.members]
    if not any(trained):
        return front
    rated = [
        (
            float(known.means[known.rows[m.key]]),
            *known.interval(m.key),
            known.chance_among_best(m.key),
        )
        if there
        else ()
        for m, there in zip(front.members, trained, strict=True)
    ]
    report = {"labels": int(known.counts.sum()), "networks": len(known.rows), **(origin or {})}
    return _with_columns(front, rated, report)


def _with_columns(
    front: ParetoSet, rated: Sequence[tuple[float, ...]], report: Mapping[str, Any]
) -> ParetoSet:
    """Add `(m,)` rows of what is expected; an empty one, or a number that is none, adds nothing."""
    names = (EXPECTED, LOW, HIGH, AMONG_BEST)
    members = tuple(
        replace(
            member,
            attributes={
                **member.attributes,
                **{n: v for n, v in zip(names, row, strict=bool(row)) if not math.isnan(v)},
            },
        )
        for member, row in zip(front.members, rated, strict=True)
    )
    return replace(
        front, members=members, provenance={**front.provenance, "expected": plain(report)}
    )


def has_expectations(front: ParetoSet) -> bool:
    """Tell whether something is expected of some member."""
    return any(EXPECTED in member.attributes for member in front.members)


def expectations_from(front: ParetoSet) -> list[str]:
    """Say where the expected accuracies are from; nothing where nothing is expected."""
    about = front.provenance.get("expected")
    if not isinstance(about, Mapping) or not has_expectations(front):
        return []
    if "published" in about:
        brackets = (
            f"; 95 % of further results of equal networks lie in the brackets, by the "
            f"{about['labels']:,} results of {about['networks']:,} networks"
        )
        told = any(LOW in member.attributes for member in front.members)
        return [
            f"Expected is the accuracy that is published ({about['published']}), which the search "
            f"has not seen{brackets if told else ''}."
        ]
    return [
        f"Expected is the accuracy of one training, of 95 % in brackets: learned from "
        f"{about['labels']} networks, among {about['drawn']} drawn from the space."
    ]


def expectation_text(member: Member) -> str:
    """Write a member's expected accuracy with its interval; a dash where nothing is expected.

    Example:
        >>> told = {EXPECTED: 71.23, LOW: 68.0, HIGH: 73.45, AMONG_BEST: 0.4}
        >>> expectation_text(Member("a", "k", (), told))
        '71.2 (68.0 to 73.5)'
    """
    expected, low, high = (member.attributes.get(name) for name in (EXPECTED, LOW, HIGH))
    if expected is None:
        return "–"
    if low is None or high is None:
        return f"{expected:.1f}"
    return f"{expected:.1f} ({low:.1f} to {high:.1f})"


def chance_text(member: Member) -> str:
    """Write the chance to be among the best hundredth of the space, in percent."""
    chance = member.attributes.get(AMONG_BEST)
    return "–" if chance is None else f"{100 * chance:.0f} %"
