"""Measured costs in place of predicted ones: which members of a front stay on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.files.csv_table import as_row
from hwnas.files.grammar import split_constraint
from hwnas.pareto.pareto_set import Evaluated, Member, ParetoSet, Status
from hwnas.pareto.provenance import plain
from hwnas.pareto.spread import spread_names
from hwnas.pareto.uncertainty import LEVEL_95, predicted_objectives, with_neighbours
from hwnas.typing import FloatArray

Outcome = Literal["front", "dominated", "infeasible", "failed", "pruned"]


@dataclass(frozen=True)
class Check:
    """One member's prediction beside its measurement.

    Attributes:
        arch: text of the architecture.
        key: canonical key.
        predicted: predicted cost, in the objective's unit.
        std: standard deviation of the prediction; NaN where it is not known.
        measured: measured cost; NaN where the measurement failed.
        outcome: `front` if the member stays, or why it does not: `dominated` by measured members,
            `infeasible` by a constraint of the search, `failed`.
    """

    arch: str
    key: str
    predicted: float
    std: float
    measured: float
    outcome: Outcome

    @property
    def deviation(self) -> float:
        """Measurement over prediction, less 1; NaN without a measurement."""
        return self.measured / self.predicted - 1 if self.predicted else float("nan")

    @property
    def inside(self) -> bool | None:
        """Tell whether the measurement is in the predicted 95 % interval; None if not known."""
        distance = abs(self.measured - self.predicted)
        return None if np.isnan(distance + self.std) else bool(distance <= LEVEL_95 * self.std)


@dataclass(frozen=True)
class Verification:
    """A front whose predictions were replaced by measurements.

    Attributes:
        front: members that stay, with the measurement as value and the attributes
            ``NAME_predicted`` and ``NAME_std`` of its prediction.
        checks: `(n,)` comparisons, one a member of the predicted front, in its order.
    """

    front: ParetoSet
    checks: tuple[Check, ...]


def matches(objective: str, column: str) -> bool:
    """Tell whether ``mine_latency_ms`` holds what ``latency_ms`` names: same metric and unit."""
    return objective == column or objective.endswith(f"_{column}")


def objective_to_verify(front: ParetoSet, columns: Sequence[str], wanted: str | None = None) -> str:
    """Find the objective that measurements are for.

    Args:
        front: the predicted front.
        columns: what was measured, metric with unit, e.g. ``latency_ms``.
        wanted: name of the objective, which then need not be predicted; None to take the
            predicted one that the measurements are for, or, where nothing is predicted, any.

    Raises:
        InvalidValueError: there is none, or more than one.
    """
    every = [objective.name for objective in front.objectives]
    predicted = predicted_objectives(front)
    names = predicted or every if wanted is None else [n for n in every if n == wanted]
    fitting = [name for name in names if any(matches(name, column) for column in columns)]
    if len(fitting) == 1:
        return fitting[0]
    if not names:
        known = ", ".join(every)
        raise InvalidValueError(f"`objective` must be one of {known}, but got {wanted!r}.")
    text = f"{', '.join(names)} and the measurements {', '.join(columns) or 'none'}"
    raise InvalidValueError(
        f"`objective` must be one that was measured, in its unit, but got {text}: "
        f"{'name one' if fitting else 'measure the same metric and convert the unit'}."
    )


def verify(
    front: ParetoSet,
    name: str,
    measured: FloatArray,
    origin: Mapping[str, Any],
    spreads: Sequence[Mapping[str, float]] | None = None,
) -> Verification:
    """Replace the predictions of an objective by measurements and take the front of the rest.

    Architectures that the search evaluated and that are no members keep their predictions.

    Args:
        front: the predicted front. One that was verified before is compared with its predictions.
        name: objective that was measured.
        measured: `(n,)` costs of the members in its unit; NaN where a measurement failed.
        origin: what the measurements are, kept in the provenance under ``verification``.
        spreads: `(n,)` of `hwnas.pareto.spread.measured_spread`, where they are known.

    Returns:
        The verified front and the comparison. Members that do not stay are listed in the
        provenance with both values.
    """
    column = [objective.name for objective in front.objectives].index(name)
    values = front.values()
    predicted = [
        float(m.attributes.get(f"{name}_predicted", m.values[column])) for m in front.members
    ]
    values[:, column] = measured
    # Positions of neighbours change, and a measurement has none; an earlier one's spread is gone.
    stale = {f"{o.name}_not_distinguishable" for o in front.objectives} | spread_names(name)
    kept = [{k: v for k, v in m.attributes.items() if k not in stale} for m in front.members]
    for entry, more in zip(kept, spreads or [{}] * len(kept), strict=True):
        entry.update(more)
    found = ParetoSet.from_values(
        [m.arch for m in front.members],
        [m.key for m in front.members],
        values,
        front.objectives,
        space=front.space,
        statuses=[status_of(front, name, value) for value in values[:, column]],
        attributes=[{**a, f"{name}_predicted": p} for a, p in zip(kept, predicted, strict=True)],
        provenance=front.provenance,
    )
    stay = {member.key for member in found.members}
    checks = tuple(
        Check(m.arch, m.key, p, _std(m, name), float(v), _outcome(row, stay))
        for m, p, v, row in zip(front.members, predicted, measured, found.evaluated, strict=True)
    )
    known = {row.key: row for row in found.evaluated}
    report = {**origin, "objective": name, "members": len(front), **_dropped(checks)}
    verified = replace(
        found,
        evaluated=tuple(known.get(row.key, row) for row in front.evaluated),
        provenance={**found.provenance, "verification": plain(report)},
        baseline=front.baseline,
    )
    still = [n for n in predicted_objectives(verified) if not _is_verified(verified, n)]
    return Verification(with_neighbours(verified, still), checks)


def _is_verified(front: ParetoSet, name: str) -> bool:
    return any(f"{name}_predicted" in member.attributes for member in front.members)


def _std(member: Member, name: str) -> float:
    std = member.attributes.get(f"{name}_std")
    return float("nan") if std is None else float(std)


def status_of(front: ParetoSet, name: str, value: float) -> Status:
    """Hold a measurement against the constraints that the search put on this objective."""
    if not np.isfinite(value):
        return "failed"
    settings = front.provenance.get("settings")
    texts = settings.get("constraints", ()) if isinstance(settings, Mapping) else ()
    unit = next(objective.unit for objective in front.objectives if objective.name == name)
    for text in texts:
        bounded, relation, bound = split_constraint(text)
        means_this = bounded == name or matches(name, f"{bounded}_{unit.lower()}")
        if means_this and (value > bound if relation == "<=" else value < bound):
            return "infeasible"
    return "complete"


def _outcome(row: Evaluated, stay: set[str]) -> Outcome:
    if row.status != "complete":
        return row.status
    return "front" if row.key in stay else "dominated"


def _dropped(checks: Sequence[Check]) -> dict[str, Any]:
    """Count the checks, and list the members that do not stay."""
    return {
        "inside_95": sum(check.inside is True for check in checks),
        "outside_95": sum(check.inside is False for check in checks),
        "dropped": [as_row(asdict(check)) for check in checks if check.outcome != "front"],
    }
