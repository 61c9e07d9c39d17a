"""Choosing one member of a Pareto set: the best by one number among those within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.grammar import split_constraint
from hwnas.pareto.pareto_set import Member, ObjectiveInfo, ParetoSet


def select(
    front: ParetoSet,
    maximize: str | None = None,
    minimize: str | None = None,
    where: str | Sequence[str] = (),
) -> Member:
    """Give the best member within bounds, the first of equals; see `ParetoSet.select`."""
    if (maximize is None) == (minimize is None):
        got = "neither" if maximize is None else "both"
        raise InvalidValueError(f"`maximize` or `minimize` must be given, but got {got}.")
    if not front.members:
        raise InvalidValueError("`members` must not be empty: an empty set has none to select.")
    wanted, sign = (minimize, 1.0) if maximize is None else (maximize, -1.0)
    assert wanted is not None
    losses = [sign * value for value in column(front, wanted)]
    left = list(range(len(front)))
    for text in (where,) if isinstance(where, str) else where:
        left = _within(front, text, left)
    known = [i for i in left if not math.isnan(losses[i])]
    if not known:
        raise InvalidValueError(f"`{wanted}` must have a value in some member, but has none.")
    return front.members[min(known, key=losses.__getitem__)]


def column(front: ParetoSet, name: str) -> list[float]:
    """Give the members' numbers of this name: an objective, its metric, or an attribute.

    Args:
        front: the set.
        name: e.g. ``cpu_latency_ms``, ``cpu_latency``, ``latency``, or ``params``.

    Returns:
        `(n,)` numbers, NaN where a member has none.

    Raises:
        UnknownNameError: there are no such numbers.
        InvalidValueError: several objectives have this metric.
    """
    names = [o.name for o in front.objectives]
    found = [n for n in names if n == name] or [o.name for o in front.objectives if _is(o, name)]
    if len(found) > 1:
        raise InvalidValueError(
            f"`{name}` must name one objective, but {', '.join(found)} all have that metric: write "
            f"the full name."
        )
    if found:
        place = names.index(found[0])
        return [member.values[place] for member in front.members]
    values = [_number(member.attributes.get(name)) for member in front.members]
    if all(math.isnan(value) for value in values):
        numeric = {k for m in front.members for k, v in m.attributes.items() if _number(v) == v}
        raise unknown_name("name", name, [*names, *numeric])
    return values


def _within(front: ParetoSet, text: str, left: Sequence[int]) -> list[int]:
    name, relation, bound = split_constraint(text)
    values = column(front, name)
    inside = [i for i in left if (values[i] <= bound if relation == "<=" else values[i] >= bound)]
    if not inside:
        known = [values[i] for i in left if not math.isnan(values[i])]
        best = (min if relation == "<=" else max)(known, default=math.nan)
        raise InvalidValueError(
            f"`where` must leave a member, but none of {len(left)} has {text}: the "
            f"{'least' if relation == '<=' else 'greatest'} is {best:.5g}."
        )
    return inside


def _is(objective: ObjectiveInfo, name: str) -> bool:
    """Tell whether ``latency`` or ``cpu_latency`` means ``cpu_latency_ms``."""
    full = f"{name}_{objective.unit.lower()}" if objective.unit else name
    return objective.name == full or objective.name.endswith(f"_{full}")


def _number(value: object) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else math.nan  # type: ignore[arg-type]
