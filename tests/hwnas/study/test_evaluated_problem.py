"""What a search may propose where published costs have a part of a large space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hwnas.costs.published import PublishedCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.fbnet import FBNet, FBNetArch
from hwnas.study.evaluated_problem import problem_of
from hwnas.testing import draw
from hwnas.typing import Constraint, DeviceKey
from hwnas_optuna.sampler_names import make_sampler

SPACE = FBNet()
ARCHS: list[FBNetArch] = draw(SPACE, 12)


def published(archs: Sequence[FBNetArch] | None, device: str) -> PublishedCost[FBNetArch]:
    """Make a cost that knows some architectures, or all of them."""
    known = None if archs is None else {SPACE.canonical_key(arch) for arch in archs}
    return PublishedCost(
        metric="latency",
        unit="ms",
        device=DeviceKey(device),
        dataset="cifar10",
        provenance={"sha256": device},
        look_up=lambda keys: np.array(
            [1.0 if known is None or k in known else np.nan for k in keys]
        ),
        space=SPACE,
        covers=archs,
    )


def evaluator(
    *costs: PublishedCost[FBNetArch], bound: PublishedCost[FBNetArch] | None = None
) -> Evaluator[FBNetArch]:
    """Make an evaluator of costs, one of them perhaps bounded."""
    bounds = [] if bound is None else [Constraint(cost_objective(SPACE, bound), "<=", 5.0)]
    return Evaluator(
        SPACE, [cost_objective(SPACE, cost) for cost in costs], constraints=bounds, cache=None
    )


def test_only_what_every_table_has_is_proposed() -> None:
    a, b = published(ARCHS[:8], "a"), published(ARCHS[4:], "b")
    with pytest.warns(UserWarning, match=r"known of 4 architectures of fbnet: only these"):
        found = problem_of(evaluator(a, published(None, "c"), bound=b)).candidates
    assert found == ARCHS[4:8]


def test_a_search_ends_when_the_table_does() -> None:
    import optuna

    from hwnas_optuna.suggesting import suggesting

    with pytest.warns(UserWarning, match="only these are proposed"):
        sampler = make_sampler("hardware-aware", evaluator(published(ARCHS[:5], "a")), seed=0)
    study = optuna.create_study(sampler=sampler)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(lambda trial: float(len(str(SPACE.make(suggesting(trial))))), n_trials=20)
    proposed = [SPACE.decode(trial.params) for trial in study.trials]
    assert sorted(proposed) == sorted(ARCHS[:5])


def test_tables_of_everything_leave_everything() -> None:
    assert problem_of(evaluator(published(None, "a"))).candidates is None


def test_tables_without_a_common_architecture_are_refused() -> None:
    both = evaluator(published(ARCHS[:3], "a"), published(ARCHS[3:], "b"))
    with pytest.raises(InvalidValueError, match="in common"):
        problem_of(both)
