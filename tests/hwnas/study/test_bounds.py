from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.bounds import Bounds
from hwnas.study.probe import insist_on_feasible
from hwnas.typing import Constraint, FloatArray

SPACE = NasBench201()
SOUGHT = SPACE.representative(SPACE.sample(np.random.default_rng(9)))
LAYERS = cost_objective(SPACE, CounterCost(SPACE, "layers"))


class Uncounted(CounterCost[Any]):
    """Has no value for anything."""

    def predict(self, archs: Sequence[Any]) -> FloatArray:
        raise InvalidValueError(f"there is no formula for {archs[0]}.")


def evaluator(*constraints: Constraint[Any]) -> Evaluator[Any]:
    return Evaluator(SPACE, [LAYERS], constraints)


def test_the_closest_value_is_kept_and_bounds_are_checked_once() -> None:
    bounds = Bounds(evaluator(Constraint(LAYERS, "<=", 8), Constraint(LAYERS, ">=", 1)))
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(20)]
    # A stem, two residual blocks of three convolutions and a head, beside what the cells have.
    layers = [LAYERS(arch) for arch in archs]
    assert [*bounds(archs)] == [n <= 8 for n in layers]
    assert bounds.checked == len(set(archs))
    assert bounds.closest["layers <= 8"] == min(layers)
    bounds._evaluator = None  # type: ignore[assignment] # it is not asked again
    assert [*bounds(archs)] == [n <= 8 for n in layers]


def test_what_hardly_any_keeps_is_said_after_25_and_100() -> None:
    bounds = Bounds(evaluator(Constraint(LAYERS, "<=", 0)))
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=r"0 of (25|100) .* layers <= 0 \(closest: \d+\)") as said:
        bounds([SPACE.sample(rng) for _ in range(110)])
    assert len(said) == 2


@pytest.mark.filterwarnings("ignore:0 of")
def test_a_bound_on_what_has_no_value_is_told_with_the_reason() -> None:
    nothing = cost_objective(SPACE, Uncounted(SPACE, "macs"))
    with pytest.raises(InvalidValueError, match=r"of 64 .* macs <= 5; without .* no formula for "):
        insist_on_feasible(evaluator(Constraint(nothing, "<=", 5)), seed=0)


class Sought(CounterCost[Any]):
    """Is 0 for the class of one architecture, and else 1."""

    def predict(self, archs: Sequence[Any]) -> FloatArray:
        return np.array([arch != SOUGHT for arch in archs], dtype=np.float64)


def test_one_architecture_of_a_listed_space_is_enough() -> None:
    sought = cost_objective(SPACE, Sought(SPACE, "macs"))
    with pytest.warns(UserWarning, match="0 of .* architectures that were looked at"):
        insist_on_feasible(evaluator(Constraint(sought, "<=", 0)), seed=3)
