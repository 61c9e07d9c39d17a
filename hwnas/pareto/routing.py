"""Which candidates of a predicted front are worth a measurement, within a budget.

A cost that is predicted makes membership of the front uncertain: an architecture *straddles* it if
it would be a member with some values that the predictions allow and none with others. Those are
measured, the least certain first, and what is certain either way is not. A predictor that can take
further measurements learns from them at once, so that fewer candidates are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.pareto.metrics import is_non_dominated, to_losses
from hwnas.pareto.pareto_set import Evaluated, ParetoSet, Status
from hwnas.pareto.provenance import plain
from hwnas.pareto.uncertainty import with_neighbours
from hwnas.pareto.verification import status_of
from hwnas.typing import FloatArray, SearchSpace, UncertainCostModel

_DRAWS = 200
_ROUNDS = 8
_WIDER = (1.0, 2.0, 4.0)
"""Deviations, over those predicted, at which candidates are open: the first that leave any.

Predictions miss by more than they say now and then, and what is left of a budget finds such misses.
"""


@runtime_checkable
class LearningCost(Protocol):
    """A predictor that further measurements of its device make a better one."""

    def observe(self, archs: Sequence[Any], costs: npt.ArrayLike) -> UncertainCostModel[Any]:
        """Give the predictor that has `(s,)` more measurements in its unit."""


@dataclass(frozen=True)
class Routing:
    """A front some of whose predictions were replaced by measurements.

    Attributes:
        front: the members have ``NAME_measured``, and measured ones ``NAME_predicted``.
        measured: candidates that were measured.
        failed: those of them whose measurement failed.
        undecided: candidates that may or may not be members, and for which there was no budget.
    """

    front: ParetoSet
    measured: int
    failed: int
    undecided: int


def membership(
    losses: FloatArray, column: int, stds: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Give the `(n,)` probabilities that architectures are non-dominated.

    Args:
        losses: `(n, m)` losses; NaN stands for an architecture that is no candidate.
        column: number of the predicted loss.
        stds: `(n,)` standard deviations of the predictions; 0 for what was measured.
        rng: draws errors, independent of each other.
    """
    count = np.zeros(len(losses))
    for _ in range(_DRAWS):
        drawn = losses.copy()
        drawn[:, column] += stds * rng.standard_normal(len(losses))
        count += is_non_dominated(drawn)
    return count / _DRAWS


def straddling(probabilities: FloatArray) -> list[int]:
    """Give the numbers of what is neither certainly a member nor certainly none, least sure first.

    >>> straddling(np.array([1.0, 0.9, 0.5, 0.0, 0.3]))
    [2, 4, 1]
    """
    open_ = np.flatnonzero((probabilities > 0) & (probabilities < 1))
    order = np.argsort(np.abs(probabilities[open_] - 0.5), kind="stable")
    return [int(number) for number in open_[order]]


def route(
    front: ParetoSet,
    name: str,
    space: SearchSpace[Any],
    predictor: UncertainCostModel[Any],
    measure: Callable[[Sequence[Any]], FloatArray],
    budget: int,
    origin: Mapping[str, Any] | None = None,
) -> Routing:
    """Measure the candidates whose predicted cost leaves open whether they are members.

    Args:
        front: the predicted front, with all that the search evaluated.
        name: objective that is predicted.
        space: the search space.
        predictor: what predicted it.
        measure: gives `(k,)` costs of architectures in its unit, NaN where a measurement failed.
        budget: most architectures to measure.
        origin: what measures, kept in the provenance under ``routing``.

    Raises:
        InvalidValueError: the budget is not above 0.
    """
    if budget < 1:
        raise InvalidValueError(f"`measure_budget` must be at least 1, but got {budget}.")
    rows = list({row.key: row for row in reversed(front.evaluated)}.values())[::-1]
    rows = [row for row in rows if row.status == "complete"]
    archs = [space.parse(row.arch) for row in rows]
    column = [objective.name for objective in front.objectives].index(name)
    values = np.array([row.values for row in rows], dtype=np.float64)
    values = values.reshape(len(rows), len(front.objectives))
    predicted = values[:, column].copy()
    stds = np.asarray(predictor.predict_std(archs), dtype=np.float64)
    first_stds, done = stds.copy(), np.zeros(len(rows), dtype=np.bool_)
    rng, step = np.random.default_rng(0), math.ceil(budget / _ROUNDS)
    while True:
        losses, left_over = to_losses(values, front.directions), budget - int(done.sum())
        levels = [_open(losses, column, wider * stds, done, rng) for wider in _WIDER]
        waiting = next(filter(None, levels), [])
        chosen = waiting[: min(step, left_over)]
        if not chosen:
            break
        values[chosen, column] = measure([archs[number] for number in chosen])
        done[chosen], stds[chosen] = True, 0.0
        known = [number for number in chosen if np.isfinite(values[number, column])]
        if isinstance(predictor, LearningCost) and known:
            found = predictor.observe([archs[i] for i in known], values[known, column])
            predictor, left = found, np.flatnonzero(~done)
            others = [archs[number] for number in left]
            values[left, column] = predictor.predict(others)
            stds[left] = predictor.predict_std(others)
    facts = {"objective": name, "budget": budget, "measured": int(done.sum())}
    failed = int((done & ~np.isfinite(values[:, column])).sum())
    report = {**facts, "failed": failed, "undecided": len(levels[0]), **(origin or {})}
    details = [
        _attributes(name, bool(flag), before, std if flag else now)
        for flag, before, std, now in zip(done, predicted, first_stds, stds, strict=True)
    ]
    made = _rebuilt(front, rows, values, name, details, report)
    return Routing(made, int(done.sum()), failed, len(levels[0]))


def _open(
    losses: FloatArray,
    column: int,
    stds: FloatArray,
    done: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[int]:
    waiting = straddling(membership(losses, column, stds, rng))
    return [number for number in waiting if not done[number]]


def _attributes(name: str, measured: bool, predicted: float, std: float) -> dict[str, Any]:
    found = {f"{name}_measured": measured, f"{name}_std": float(std)}
    return {**found, f"{name}_predicted": float(predicted)} if measured else found


def _rebuilt(
    front: ParetoSet,
    rows: Sequence[Evaluated],
    values: FloatArray,
    name: str,
    details: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
) -> ParetoSet:
    """Take the front of values some of which were measured; all that was evaluated stays."""
    column = [objective.name for objective in front.objectives].index(name)
    known = {member.key: member.attributes for member in front.members}
    statuses: list[Status] = [status_of(front, name, value) for value in values[:, column]]
    found = ParetoSet.from_values(
        [row.arch for row in rows],
        [row.key for row in rows],
        values,
        front.objectives,
        space=front.space,
        statuses=statuses,
        attributes=[{**known.get(r.key, {}), **d} for r, d in zip(rows, details, strict=True)],
        provenance={**front.provenance, "routing": plain(report)},
    )
    new = {row.key: row for row in found.evaluated}
    evaluated = tuple(
        replace(row, values=new[row.key].values, status=new[row.key].status)
        if row.status == "complete"
        else row
        for row in front.evaluated
    )
    return with_neighbours(replace(found, evaluated=evaluated, baseline=front.baseline), [name])


def measured_share(front: ParetoSet, name: str) -> tuple[int, int]:
    """Count the members whose cost was measured, and all members."""
    flags = [bool(member.attributes.get(f"{name}_measured")) for member in front.members]
    return sum(flags), len(flags)
