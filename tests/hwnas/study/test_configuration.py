"""From names to objectives."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort, ProxyValues
from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import (
    EvaluationSetup,
    make_constraints,
    make_objectives,
    score_objective,
)
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.reduced import Reduced
from hwnas.tasks.task import Task

CELLS = 5


@dataclass(frozen=True)
class WithoutRectifiers(NasBench201):
    """NAS-Bench-201 with a smooth activation, which some proxies cannot score."""

    def build(self, arch: Cell, task: Task | None = None) -> Any:
        from torch import nn

        model = super().build(arch, task)
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.ReLU):
                    setattr(module, name, nn.Identity())
        return model


def source(*names: str) -> ProxyValues[Cell]:
    space = WithoutRectifiers(channels=4, cells=1)
    return EvaluationSetup(space, get_task("cifar10"), batch_size=4).proxies(make_proxies(names))


def test_a_score_goes_without_proxies_that_have_no_value_in_the_space() -> None:
    recipe = Recipe("three", ("params", "swap", "layers"), "here", weights=(1.0, 2.0, 3.0))
    with pytest.warns(UserWarning, match=r"three goes without swap in this space .*ReLU"):
        objective = score_objective(source(*recipe.proxies), recipe, size=CELLS)
    assert objective.columns == ("params", "layers")
    two = replace(recipe, proxies=("params", "layers"), weights=(1.0, 3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = score_objective(source(*two.proxies), two, size=CELLS)
    cell = next(c for c in NasBench201() if c.is_live())
    assert objective(cell) == expected(cell)


@pytest.mark.parametrize("name", ["params", "flops", "layers"])
def test_a_bound_on_a_score_that_is_a_count_is_known_before_a_trial(name: str) -> None:
    space = NasBench201(channels=4, cells=1)
    setup = EvaluationSetup(space, get_task("cifar10"), batch_size=4)
    objectives = make_objectives(setup, [name], ["count:macs"])
    (bound,) = make_constraints(setup, [f"{name}<=1e5"], objectives)
    assert isinstance(bound.objective, ValueObjective)
    assert bound.objective.source.effort is Effort.LOOKUP
    cell = next(c for c in space if c.is_live())
    assert bound.objective(cell) == objectives[0](cell)


@pytest.mark.parametrize("name", ["params", "flops", "layers"])
def test_bounds_are_of_the_data_sets_images_where_proxies_see_smaller_ones(name: str) -> None:
    space = NasBench201(channels=4, cells=1)
    full = EvaluationSetup(space, get_task("cifar10"), batch_size=4)
    setup = replace(full, reduced=Reduced(16, 4))
    cell = Cell(("nor_conv_3x3",) * 6)
    (count,) = make_objectives(full, [], [f"count:{name}"])
    objectives = make_objectives(setup, [name], ["count:macs"])
    constraints = make_constraints(setup, [f"{name}>=1"], objectives)
    found = Evaluator(space, objectives, constraints)(cell)
    assert found.violations == {f"{name} >= 1": 1 - count(cell)}
    assert found.values[name] == objectives[0](cell)
    if name == "flops":
        assert found.values[name] < count(cell) / 2


def test_a_cost_of_the_name_of_a_scores_member_keeps_its_value() -> None:
    space = NasBench201(channels=4, cells=1)
    full = EvaluationSetup(space, get_task("cifar10"), batch_size=4)
    setup = replace(full, reduced=Reduced(16, 4))
    cell = Cell(("nor_conv_3x3",) * 6)
    source = setup.proxies(make_proxies(["flops", "layers"]))
    score = score_objective(source, Recipe("two", ("flops", "layers"), "here"), size=CELLS)
    (count,) = make_objectives(full, [], ["count:flops"])
    found = Evaluator(space, [count, score])(cell)
    assert found.values == {"flops": count(cell), "two": score(cell)}


def test_a_score_without_any_proxy_is_refused() -> None:
    recipe = Recipe("none", ("swap",), "here")
    with pytest.raises(InvalidValueError, match=r"`none` has no value in this space: swap: .*ReLU"):
        score_objective(source("swap"), recipe, size=CELLS)


def test_the_weights_stay_with_their_proxies() -> None:
    recipe = RECIPES["hwnas-agg"]
    assert recipe.weights is not None
    kept = recipe.restricted_to({recipe.proxies[0], recipe.proxies[-1]})
    assert kept.proxies == (recipe.proxies[0], recipe.proxies[-1])
    assert kept.weights == (recipe.weights[0], recipe.weights[-1])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((NasBench201(), "cifar10"), "`task` must be a task, but got 'cifar10': make it by .*get_"),
        ((NasBench201, get_task("cifar10")), "got the class NasBench201: call it"),
        (("nasbench201", get_task("cifar10")), "got the text 'nasbench201': make it by"),
    ],
)
def test_what_stands_for_a_space_or_a_task_is_refused(given: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        EvaluationSetup(*given)
