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
from hwnas.typing import Arch, FloatArray, SearchSpace, UncertainCostModel

_DRAWS = 200
ROUNDS = 8
"""Parts of the budget of measurements that are made at once."""
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
        undecided: candidates that may or may not be members, and that were not measured.
        postponed: candidates that are to be measured later.
    """

    front: ParetoSet
    measured: int
    failed: int
    undecided: int
    postponed: int = 0


def membership(
    losses: FloatArray, column: int, stds: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Give the `(n,)` probabilities that architectures are non-dominated.

    Args:
        losses: `(n, m)` losses; NaN stands for an architecture that is no candidate.
        column: number of the predicted loss.
        stds: `(n,)` standard deviations of the predictions; 0 for what was measured.
        rng: draws errors, independent of each other.

    Example:
        >>> losses, known = np.array([[1.0, 1.0], [2.0, 2.0]]), np.zeros(2)
        >>> membership(losses, 1, known, np.random.default_rng(0))
        array([1., 0.])
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
    space: SearchSpace[Arch],
    predictor: UncertainCostModel[Any],
    measure: Callable[[Sequence[Any]], FloatArray | None],
    budget: int,
    origin: Mapping[str, Any] | None = None,
    *,
    known: Mapping[str, float] | None = None,
    rounds: int = ROUNDS,
    waiting: int = 0,
) -> Routing:
    """Measure the candidates whose predicted cost leaves open whether they are members.

    Args:
        front: the predicted front, with all that the search evaluated.
        name: objective that is predicted.
        space: the search space.
        predictor: what predicted it.
        measure: gives `(k,)` costs of architectures in its unit, NaN where a measurement failed;
            None where they are measured later, which ends the measuring for now.
        budget: most architectures to measure, those that are known included.
        origin: what measures, kept in the provenance under ``routing``.
        known: costs that were measured before, by canonical key, NaN where that failed.
        rounds: in how many parts the budget is spent; the predictor learns after each.
        waiting: architectures that have been given to be measured later and have no cost yet; then
            nothing more is measured, and they are what is postponed.

    Raises:
        InvalidValueError: the budget is not above 0.
    """
    if budget < 1:
        raise InvalidValueError(f"`measure_budget` must be at least 1, but got {budget}.")
    rows = list({row.key: row for row in reversed(front.evaluated)}.values())[::-1]
    rows = [row for row in rows if row.status == "complete"]
    column = [objective.name for objective in front.objectives].index(name)
    course = _Course.begin(front, rows, column, space, predictor)
    predicted, first_stds = course.values[:, column].copy(), course.stds.copy()
    before = [number for number, row in enumerate(rows) if row.key in (known or {})]
    course.take(before, np.array([(known or {})[rows[number].key] for number in before]))
    rng, step, postponed = np.random.default_rng(0), math.ceil(budget / rounds), waiting
    while True:
        levels = [course.open(wider, rng) for wider in _WIDER]
        candidates = next(filter(None, levels), [])
        chosen = candidates[: min(step, max(budget - course.measured, 0))]
        if waiting or not chosen:
            break
        costs = measure([course.archs[number] for number in chosen])
        if costs is None:
            postponed = len(chosen)
            break
        course.take(chosen, costs)
    values, done = course.values, course.done
    failed = int((done & ~np.isfinite(values[:, column])).sum())
    counts = {"measured": course.measured, "failed": failed, "undecided": len(levels[0])}
    later = {"postponed": postponed} if postponed else {}
    report = {"objective": name, "budget": budget, **counts, **later, **(origin or {})}
    details = [
        _attributes(name, bool(flag), cost, std if flag else now)
        for flag, cost, std, now in zip(done, predicted, first_stds, course.stds, strict=True)
    ]
    made = _rebuilt(front, rows, values, name, details, report)
    return Routing(made, **counts, postponed=postponed)


@dataclass
class _Course:
    """Candidates whose predictions become measurements, part by part.

    Attributes:
        front: where the candidates are from.
        archs: `(n,)` candidates.
        values: `(n, m)` values of the objectives, measured or predicted.
        column: number of the objective that is predicted.
        stds: `(n,)` standard deviations of its predictions; 0 for what was measured.
        done: `(n,)` whether a candidate was measured.
        predictor: has learned from them.
    """

    front: ParetoSet
    archs: list[Any]
    values: FloatArray
    column: int
    stds: FloatArray
    done: npt.NDArray[np.bool_]
    predictor: UncertainCostModel[Any]

    @classmethod
    def begin(
        cls,
        front: ParetoSet,
        rows: Sequence[Evaluated],
        column: int,
        space: SearchSpace[Arch],
        predictor: UncertainCostModel[Any],
    ) -> _Course:
        archs = [space.parse(row.arch) for row in rows]
        values = np.array([row.values for row in rows], dtype=np.float64)
        values = values.reshape(len(rows), len(front.objectives))
        stds = np.array(predictor.predict_std(archs), dtype=np.float64)
        return cls(
            front, archs, values, column, stds, np.zeros(len(rows), dtype=np.bool_), predictor
        )

    @property
    def measured(self) -> int:
        return int(self.done.sum())

    def open(self, wider: float, rng: np.random.Generator) -> list[int]:
        """Give what may or may not be a member if predictions are `wider` times as uncertain."""
        losses = to_losses(self.values, self.front.directions)
        waiting = straddling(membership(losses, self.column, wider * self.stds, rng))
        return [number for number in waiting if not self.done[number]]

    def take(self, chosen: list[int], costs: FloatArray) -> None:
        """Put measurements in the place of predictions, and learn from them."""
        self.values[chosen, self.column] = costs
        self.done[chosen], self.stds[chosen] = True, 0.0
        known = [n for n in chosen if np.isfinite(self.values[n, self.column])]
        if not known or not isinstance(self.predictor, LearningCost):
            return
        own = self.values[known, self.column]
        self.predictor = self.predictor.observe([self.archs[n] for n in known], own)
        left = np.flatnonzero(~self.done)
        others = [self.archs[number] for number in left]
        self.values[left, self.column] = self.predictor.predict(others)
        self.stds[left] = self.predictor.predict_std(others)


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
