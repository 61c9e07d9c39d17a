"""The network that a user has today, beside the members of a Pareto set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwnas.pareto.pareto_set import ObjectiveInfo, ParetoSet

_EQUAL = 0.005
"""Ratios this near to 1 are called equal."""


@dataclass(frozen=True)
class Baseline:
    """A network that the members of a set are compared with.

    Attributes:
        name: how the user named it.
        values: `(m,)` objective values, evaluated as the members' were; None where there is none.
        reasons: why a value is missing, by the objective's name.
        remarks: what a value is, where that is not what the members' is, by the objective's name.
    """

    name: str
    values: tuple[float | None, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)


def against(objective: ObjectiveInfo, value: float, baseline: float | None) -> str:
    """Compare a member's value with the baseline's: by ratio where less is better, else by sum.

    Example:
        >>> from hwnas.pareto import ObjectiveInfo
        >>> against(ObjectiveInfo("cpu_latency_ms", "ms"), 2.0, 5.0)
        '2.5× less'
        >>> against(ObjectiveInfo("naswot", "", "maximize"), 2.0, 5.0)
        '-3'
    """
    if baseline is None:
        return "–"
    if objective.direction == "minimize" and value > 0 and baseline > 0:
        ratio = baseline / value
        if abs(ratio - 1) < _EQUAL:
            return "equal"
        return f"{ratio:.3g}× less" if ratio > 1 else f"{1 / ratio:.3g}× more"
    return "equal" if value == baseline else f"{value - baseline:+.4g}"


def dominating(front: ParetoSet) -> list[int]:
    """Give the ranks, from 1, of the members that dominate the baseline in what is known of it."""
    known = _known(front)
    return [
        rank
        for rank, losses in enumerate(front.losses().tolist(), start=1)
        if known
        and all(losses[i] <= loss for i, loss in known.items())
        and any(losses[i] < loss for i, loss in known.items())
    ]


def findings(front: ParetoSet) -> Iterator[str]:
    """Say in a line each what the members are worth beside the baseline; nothing without one.

    For each objective that is the member that gains most of it and is no worse in the others.
    """
    if (baseline := front.baseline) is None:
        return
    for place in _known(front):
        if (rank := _best(front, place)) is not None:
            yield _gain(front, place, rank)
    ranks = dominating(front)
    named = ", ".join(f"#{rank}" for rank in ranks)
    known = "" if len(_known(front)) == len(front.objectives) else " in what is known of it"
    yield (
        f"{len(ranks)} of {len(front)} members dominate {baseline.name}{known}: {named}."
        if ranks
        else f"No member dominates {baseline.name}{known}."
    )
    for name, reason in baseline.reasons.items():
        yield f"{baseline.name} has no {name}: {reason}"
    for name, remark in baseline.remarks.items():
        yield f"{name} of {baseline.name} {remark}."


def _known(front: ParetoSet) -> dict[int, float]:
    """Give the baseline's losses by the place of their objective."""
    values = () if front.baseline is None else front.baseline.values
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in front.directions]
    return {i: signs[i] * value for i, value in enumerate(values) if value is not None}


def _best(front: ParetoSet, place: int) -> int | None:
    """Give the rank of the member that gains most and is no worse elsewhere; None without one."""
    known = _known(front)
    better = [
        (losses[place], rank)
        for rank, losses in enumerate(front.losses().tolist(), start=1)
        if losses[place] < known[place]
        and all(losses[i] <= loss for i, loss in known.items() if i != place)
    ]
    return min(better)[1] if better else None


def _gain(front: ParetoSet, place: int, rank: int) -> str:
    assert front.baseline is not None
    objective, value = front.objectives[place], front.members[rank - 1].values[place]
    before = front.baseline.values[place]
    assert before is not None
    name = objective.name
    if objective.direction == "minimize" and value > 0:
        times = f"{before / value:.3g} times"
        told = f"is {times} faster" if "latency" in name else f"has {times} less {name}"
    else:
        told = f"has {'more' if objective.direction == 'maximize' else 'less'} {name}"
    others = [front.objectives[i].name for i in _known(front) if i != place]
    same = f", and is no worse in {', '.join(others)}" if others else ""
    unit = f" {objective.unit}" if objective.unit else ""
    was = f"({_digits(value)} against {_digits(before)}{unit})"
    return f"#{rank} {told} than {front.baseline.name} {was}{same}."


def _digits(value: float) -> str:
    """Write a number with five digits, and a count with all of them."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.5g}"
