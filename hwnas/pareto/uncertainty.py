"""How sure the values of predicted costs are, told with the members of a Pareto set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwnas.pareto.pareto_set import ParetoSet
from hwnas.typing import Arch, FloatArray, SearchSpace, UncertainCostModel

LEVEL_95 = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""


def with_uncertainty(
    front: ParetoSet, space: SearchSpace[Arch], costs: Mapping[str, UncertainCostModel[Any]]
) -> ParetoSet:
    """Add standard deviations of predicted costs to the members' attributes.

    Args:
        front: the Pareto set.
        space: its search space.
        costs: cost models by name of the objective that they predict.

    Returns:
        The set with the attributes ``NAME_std``, in the objective's unit, and
        ``NAME_not_distinguishable``: the positions, from 1, of the members whose cost does not
        differ from this one's at 95 %.
    """
    attributes = [dict(member.attributes) for member in front.members]
    archs = [space.parse(member.arch) for member in front.members]
    for name, cost in costs.items():
        for entry, std in zip(attributes, cost.predict_std(archs), strict=True):
            entry[f"{name}_std"] = float(std)
    members = zip(front.members, attributes, strict=True)
    known = replace(front, members=tuple(replace(m, attributes=a) for m, a in members))
    return with_neighbours(known, list(costs))


def with_neighbours(front: ParetoSet, names: Sequence[str]) -> ParetoSet:
    """Work ``NAME_not_distinguishable`` out from the members' ``NAME_std``.

    Args:
        front: the Pareto set, whose members have the standard deviations.
        names: names of the predicted objectives.
    """
    attributes = [dict(member.attributes) for member in front.members]
    columns = [objective.name for objective in front.objectives]
    for name in names:
        stds = np.array([_std(entry, name) for entry in attributes], dtype=np.float64)
        alike = indistinguishable(front.values()[:, columns.index(name)], stds)
        for entry, row in zip(attributes, alike, strict=True):
            entry[f"{name}_not_distinguishable"] = (np.flatnonzero(row) + 1).tolist()
    members = zip(front.members, attributes, strict=True)
    return replace(front, members=tuple(replace(m, attributes=a) for m, a in members))


def _std(attributes: Mapping[str, Any], name: str) -> float:
    """Give the deviation of a value: none where the candidate was measured, see `routing`."""
    return 0.0 if attributes.get(f"{name}_measured") else float(attributes[f"{name}_std"])


def predicted_objectives(front: ParetoSet) -> list[str]:
    """List the objectives that were predicted, told by the members' ``NAME_std``."""
    known = {name for member in front.members for name in member.attributes}
    return [o.name for o in front.objectives if f"{o.name}_std" in known]


def still_predicted(front: ParetoSet) -> list[str]:
    """List the predicted objectives that some member has no measurement of."""
    return [
        name
        for name in predicted_objectives(front)
        if not all(f"{name}_predicted" in member.attributes for member in front.members)
    ]


def indistinguishable(values: FloatArray, stds: FloatArray) -> np.ndarray:
    """Tell which pairs of values do not differ at 95 %, `(n, n)` with a false diagonal.

    Errors count as independent. Those of alike architectures are not, so pairs may be told apart
    a little better than this says.

    Example:
        >>> indistinguishable(np.array([1.0, 1.1, 3.0]), np.array([0.1, 0.1, 0.1]))[0]
        array([False,  True, False])
    """
    difference = np.abs(values[:, None] - values)
    alike = difference <= LEVEL_95 * np.hypot(stds[:, None], stds)
    np.fill_diagonal(alike, False)
    return alike


def notices(front: ParetoSet) -> list[str]:
    """Say how many members are not told apart by each predicted cost."""
    lines = []
    for objective in front.objectives:
        attribute = f"{objective.name}_not_distinguishable"
        alike = sum(bool(member.attributes.get(attribute)) for member in front.members)
        if alike:
            lines.append(
                f"{objective.name} is predicted: {alike} of {len(front)} members are not "
                f"distinguishable at 95 % from another member."
            )
    return lines
