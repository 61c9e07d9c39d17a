"""Objectives made of sources: a single column, or a score that combines several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.evaluation.sources import CostValues, ProxyValues, ValueSource
from hwnas.ranking.ranks import spearman_rho
from hwnas.tables.result import Result
from hwnas.typing import Arch, CostModel, Direction, SearchSpace

Combine = Callable[[Mapping[str, float]], float]
REDUNDANT = 0.98
"""|Spearman| above which two objectives say the same thing."""


class Learned(Protocol):
    """Makes a value of an architecture and its columns, by what was learned of its space."""

    def __call__(self, arch: Any, raw: Mapping[str, float], /) -> float:
        """Give the value of an architecture with its raw columns."""

    def for_network(self, space: SearchSpace[Any], arch: Any, /) -> Learned:
        """Give the same value of a network of another space, by its columns alone."""


@dataclass(frozen=True)
class ValueObjective(Generic[Arch]):
    """An objective computed from one source's columns.

    Attributes:
        name: name with its unit.
        unit: unit of the value; empty for a plain number.
        direction: which values are better.
        source: where the columns come from.
        columns: the columns that are needed.
        combine: makes the value from the columns; None takes the only column as it is.
        learned: makes the value from the architecture and the columns, in place of `combine`.
        reference: `(n,)` values of networks drawn from the space, which tell what a value is worth;
            empty where there are none.
    """

    name: str
    unit: str
    direction: Direction
    source: ValueSource[Arch]
    columns: tuple[str, ...]
    combine: Combine | None = None
    reference: tuple[float, ...] = ()
    learned: Learned | None = None

    def value(self, arch: Arch, results: Mapping[str, Result]) -> Result:
        """Make the objective's value for an architecture from the source's results."""
        needed = [results[column] for column in self.columns]
        seconds = sum(result.seconds for result in needed)
        errors = [result.error for result in needed if result.error]
        raw = {c: r.value for c, r in zip(self.columns, needed, strict=True)}
        if self.learned is not None:
            value = self.learned(arch, raw)
        elif self.combine is not None:
            value = self.combine(raw)
        else:
            return needed[0]
        return Result(value, "; ".join(errors) or None, seconds)

    def __call__(self, arch: Arch) -> float:
        """Evaluate one architecture here and now, without a cache."""
        return self.value(arch, self.source.compute(arch, self.columns)).value


def cost_objective(space: SearchSpace[Arch], cost: CostModel[Arch]) -> ValueObjective[Arch]:
    """Make an objective of a cost model, named by device, metric and unit."""
    source = CostValues(space, cost)
    return ValueObjective(source.name, cost.unit, cost.direction, source, source.columns)


def proxy_objective(source: ProxyValues[Arch], name: str) -> ValueObjective[Arch]:
    """Make an objective of one proxy of a source."""
    by_name = {proxy.name: proxy for proxy in source.proxies}
    if name not in by_name:
        raise unknown_name("proxy", name, by_name)
    return ValueObjective(name, "", by_name[name].direction, source, (name,))


def match_objective(
    name: str, objectives: Sequence[ValueObjective[Arch]]
) -> ValueObjective[Arch] | None:
    """Find the objective that a constraint's name means: full name, or its metric alone.

    Raises:
        InvalidValueError: several objectives have this metric.
    """
    exact = [o for o in objectives if o.name == name]
    short = [
        o for o in objectives if isinstance(o.source, CostValues) and o.source.cost.metric == name
    ]
    found = exact or short
    if len(found) > 1:
        names = ", ".join(o.name for o in found)
        raise InvalidValueError(
            f"`constraint` {name!r} must name one objective, but {names} all have that metric: "
            f"write the full name."
        )
    return found[0] if found else None


def redundant_pairs(names: Sequence[str], values: np.ndarray) -> list[tuple[str, str, float]]:
    """Find pairs of objectives whose ranks hardly differ.

    Args:
        names: `(m,)` objective names.
        values: `(n, m)` objective values; rows with NaN are left out.

    Returns:
        (name, name, Spearman) of each pair with |Spearman| > 0.98; nothing below 20 full rows.
    """
    full = values[~np.isnan(values).any(axis=1)]
    pairs: list[tuple[str, str, float]] = []
    if len(full) < 20:
        return pairs
    for i in range(len(names)):
        for j in range(i):
            if np.ptp(full[:, i]) == 0 or np.ptp(full[:, j]) == 0:
                continue
            rho = spearman_rho(full[:, i], full[:, j])
            if abs(rho) > REDUNDANT:
                pairs.append((names[j], names[i], rho))
    return pairs
