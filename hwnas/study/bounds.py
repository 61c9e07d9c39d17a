"""Bounds that are cheap to check before an architecture is proposed, and what came of checking."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Generic

import numpy as np

from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort
from hwnas.measure.endless import once
from hwnas.measure.in_child import text_of
from hwnas.measure.isolation import child_with
from hwnas.strategies.problem import BoolArray
from hwnas.typing import Arch, Constraint, FloatArray

_FIRST_WORD = 25
"""Architectures after which one hears of bounds that hardly any keeps; then after 4 times more."""
_RARE = 0.02


class Bounds(Generic[Arch]):
    """Tells which architectures may be proposed: those that run and keep every cheap constraint.

    Costs of tables and predictors are cheap, and so are counters, though they build each network in
    most spaces: what was checked is remembered. Where fewer than 2 % of the architectures keep the
    bounds, a warning says so after 25, 100, 400, … of them.

    Args:
        evaluator: its constraints and limits are meant.

    Attributes:
        kept: how many of the architectures that were checked keep the bounds.
        closest: the value nearest to each bound, by the constraint's text.
        reason: why the first architecture without a value has none; None if all have.
    """

    def __init__(self, evaluator: Evaluator[Arch]) -> None:
        self._evaluator = evaluator
        self._bounds = [c for c in evaluator.constraints if _is_cheap(c)]
        self._objectives: list[Any] = [bound.objective for bound in self._bounds]
        self._known: dict[Arch, float] = {}
        self.kept = 0
        self.closest: dict[str, float] = {}
        self.reason: str | None = None

    def __bool__(self) -> bool:
        """Tell whether there is anything to check."""
        return bool(self._bounds) or hasattr(self._evaluator.space, "fault")

    def __call__(self, archs: Sequence[Arch]) -> BoolArray:
        """Give `(n,)` flags of `(n,)` architectures; what cannot be built is not proposed."""
        return self.violations(archs) <= 0

    def violations(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` sums over the bounds of how far values are beyond, as shares of the bounds.

        0 where all are kept; infinite where a value is missing or the network does not run.
        """
        return np.array([self._violation(arch) for arch in archs], dtype=np.float64)

    @property
    def checked(self) -> int:
        """How many architectures were checked."""
        return len(self._known)

    def __str__(self) -> str:
        why = "" if self.reason is None else f"; without a value, the first: {self.reason}"
        return (" and ".join(map(self._state, self._bounds)) or "networks that run") + why

    def _state(self, bound: Constraint[Arch]) -> str:
        """Give a bound, with the closest value where no architecture keeps it."""
        best = self.closest.get(str(bound), np.nan)
        kept = np.isnan(best) or bound.violation(best) <= 0
        return str(bound) if kept else f"{bound} (closest: {best:,.6g})"

    def _violation(self, arch: Arch) -> float:
        if arch not in self._known:
            self._known[arch] = violation = self._check(arch)
            self.kept += violation <= 0
            self._say()
        return self._known[arch]

    def _check(self, arch: Arch) -> float:
        values = self._values(arch)
        if isinstance(values, str):
            self.reason = self.reason or values
            return np.inf
        broken = sum(self._note(b, v) for b, v in zip(self._bounds, values, strict=True))
        if broken:
            return broken
        # Last, for to trace a network takes longer than to count it.
        fault = self._evaluator.fault(arch)
        self.reason = self.reason or fault
        return 0.0 if fault is None else np.inf

    def _values(self, arch: Arch) -> list[float] | str:
        """Give the bounded values, or why there are none."""
        if not self._bounds:
            return []
        function = partial(_values_of, self._objectives)
        limits = self._evaluator.limits
        try:
            if limits is None:
                return function(arch)
            space = self._evaluator.space
            with once(self._evaluator.name(space.canonical_key(arch)), limits):
                return child_with(limits).call(function, arch)
        except Exception as error:
            return text_of(error)

    def _note(self, bound: Constraint[Arch], value: float) -> float:
        """Keep the closest value; give by which share of the bound it is beyond."""
        violation, best = bound.violation(value), self.closest.get(str(bound))
        if not np.isfinite(value):
            return np.inf
        if best is None or violation < bound.violation(best):
            self.closest[str(bound)] = value
        return max(0.0, violation) / (abs(bound.bound) or 1.0)

    def _say(self) -> None:
        times = self.checked / _FIRST_WORD
        if times in (4**k for k in range(20)) and self.kept < _RARE * self.checked:
            warnings.warn(
                f"{self.kept} of {self.checked} architectures that were looked at keep {self}; "
                f"looking for more.",
                stacklevel=2,
            )


def _values_of(objectives: Sequence[ValueObjective[Any]], arch: Any) -> list[float]:
    return [float(objective(arch)) for objective in objectives]


def _is_cheap(constraint: Constraint[Arch]) -> bool:
    objective = constraint.objective
    return isinstance(objective, ValueObjective) and objective.source.effort is Effort.LOOKUP
