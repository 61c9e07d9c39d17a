"""The agreement of two seeds in a space, and what it does to the weights of a score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hwnas
from hwnas.evaluation.cache import ResultCache
from hwnas.proxies import make_proxies
from hwnas.ranking.metrics import spearman
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import EvaluationSetup, reference_sample, score_objective
from hwnas.study.stability import default_score, seed_agreement
from hwnas.tables.shipped import shipped_scores
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task

SMALL = image_task(10, (3, 16, 16))


def test_the_agreement_is_spearmans_of_two_seeds() -> None:
    space = NasBench201(channels=4, cells=1)
    source = EvaluationSetup(space, SMALL, 4, 5).proxies(make_proxies(["naswot", "flops"]))
    found = seed_agreement(source, size=6)
    assert list(found) == ["naswot", "flops"]
    assert found["flops"] == 1
    archs = reference_sample(space, 6, 5)
    ranks = [
        [replace(source, seed=seed).compute(a, ["naswot"])["naswot"].value for a in archs]
        for seed in (5, 6)
    ]
    assert found["naswot"] == pytest.approx(spearman(*ranks))
    assert found["naswot"] < 1


def test_it_is_kept_and_shares_the_first_seed(tmp_path: object) -> None:
    del tmp_path
    space, asked = FBNet(), []
    source = EvaluationSetup(space, SMALL, 2, 0).proxies(make_proxies(["l2_norm"]))
    with ResultCache.default() as cache:
        first = seed_agreement(source, cache=cache, size=3, report=lambda *a: asked.append(a))
        again = seed_agreement(source, cache=cache, size=3)
    assert first == again


def test_shipped_scores_need_no_time() -> None:
    space, scores = NasBench201(), shipped_scores("nasbench201", "cifar10")
    assert scores is not None
    source = EvaluationSetup(space, get_task("cifar10"), 32).proxies(make_proxies(["jacob_cov"]))
    keys = scores.again.keys or ()
    first = [scores.by_key("jacob_cov")[key] for key in keys]
    expected = spearman(first, scores.again.columns["jacob_cov"])
    assert seed_agreement(source) == {"jacob_cov": pytest.approx(expected)}


def test_a_reliable_score_weighs_its_members_by_the_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(RECIPES["jacob_cov+params"], reliable=True, weights=(2.0, 1.0))
    monkeypatch.setattr(
        "hwnas.study.stability.seed_agreement", lambda *_, **__: {"jacob_cov": 0.75, "params": 1.0}
    )
    source = EvaluationSetup(NasBench201(channels=4, cells=1), SMALL, 4).proxies(recipe.make())
    objective = score_objective(source, recipe, size=6)
    expected = score_objective(source, replace(recipe, reliable=False, weights=(1.5, 1.0)), size=6)
    arch = reference_sample(source.space, 9, 0)[-1]
    assert objective(arch) == expected(arch)
    monkeypatch.setattr(
        "hwnas.study.stability.seed_agreement", lambda *_, **__: {"jacob_cov": 0.3, "params": 1.0}
    )
    assert score_objective(source, recipe, size=6).columns == ("params",)


def test_weights_of_recipes() -> None:
    recipe = replace(RECIPES["jacob_cov+params"], reliable=True)
    assert recipe.weighed_by({"jacob_cov": 0.8, "params": 1.0}).weights == (0.8, 1.0)
    assert recipe.weighed_by({"jacob_cov": 0.49, "params": 1.0}).proxies == ("params",)
    assert recipe.weighed_by({"params": 0.9}).proxies == ("params",)
    assert recipe.weighed_by({"jacob_cov": np.nan, "params": 0.1}) == recipe
    assert RECIPES["hwnas-agg"].weighed_by({"meco": 0.6}) == RECIPES["hwnas-agg"]


def test_size_stands_for_members_that_say_nothing_in_a_space() -> None:
    known = {"meco": np.nan, "expressivity": 0.9, "jacob_cov": 0.1, "params": 1.0, "layers": 1.0}
    recipe = replace(
        RECIPES["hwnas-agg"], reliable=True, instead=("params", "layers"), weights=(3, 2, 1, 1, 1)
    )
    # Of 3, 2, 1, 1, 1 the first, third, fourth and fifth are lost: 6, and size shares them.
    found = recipe.weighed_by(known)
    assert found.proxies == ("expressivity", "params", "layers")
    assert found.weights == pytest.approx((1.8, 3.0, 3.0))
    # So it is where they have no value to begin with.
    there = recipe.restricted_to({"expressivity", "jacob_cov", "params", "layers"})
    assert dict(zip(there.proxies, there.weights or (), strict=True)) == {
        "expressivity": 2.0,
        "jacob_cov": 1.0,
        "params": 2.5,
        "layers": 2.5,
    }
    assert there.weighed_by(known) == found
    alike = dict.fromkeys(recipe.needed, 1.0)
    assert recipe.weighed_by(alike).proxies == recipe.proxies
    assert recipe.restricted_to({"meco"}).proxies == ("meco",)


def test_size_stands_for_members_of_the_shipped_score_that_have_no_value() -> None:
    recipe = RECIPES["hwnas-any"]
    there = recipe.restricted_to(set(recipe.needed) - {"meco", "jacob_cov"})
    # 3 + 1 are lost, which params, beside its own 1, and layers share.
    assert dict(zip(there.members, there.weights or (), strict=True)) == {
        "expressivity": 3.0,
        "trainability": 1.0,
        "epsilon": 1.0,
        "swap": 1.0,
        "params": 3.0,
        "-grad_norm": 1.0,
        "layers": 2.0,
    }
    weighed = recipe.weighed_by(dict.fromkeys(recipe.needed, 1.0) | {"swap": np.nan, "epsilon": 0})
    assert weighed.members == (
        *("expressivity", "meco", "jacob_cov", "trainability", "params", "-grad_norm", "layers"),
    )
    assert weighed.weights == (3.0, 3.0, 1.0, 1.0, 2.0, 1.0, 1.0)


def test_a_large_gradient_counts_against_a_network_in_the_shipped_score() -> None:
    recipe = RECIPES["hwnas-any"]
    values = np.ones((3, len(recipe.proxies)))
    values[:, recipe.proxies.index("grad_norm")] = [2.0, 3.0, 1.0]
    assert recipe.in_population(values).argsort().tolist() == [1, 0, 2]
    assert recipe.against(values).score(values).argsort().tolist() == [1, 0, 2]


def test_what_stands_for_others_keeps_the_weight_of_its_own() -> None:
    recipe = Recipe(
        "mine",
        ("meco", "params", "grad_norm"),
        "",
        weights=(3.0, 1.0, 1.0),
        reliable=True,
        instead=("params", "layers"),
        opposed=("grad_norm",),
    )
    there = recipe.restricted_to({"params", "layers", "grad_norm"})
    assert there.members == ("params", "-grad_norm", "layers")
    assert there.weights == (2.5, 1.0, 1.5)
    weighed = there.weighed_by({"params": 1.0, "layers": 1.0, "grad_norm": 0.8})
    assert weighed.weights == (2.5, 0.8, 1.5)
    assert weighed.directions == ("maximize", "minimize", "maximize")


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [
        ({"jacob_cov": 0.95}, "jacob_cov+params"),
        ({"jacob_cov": 0.34, "expressivity": 0.97}, "expressivity+params"),
        ({"jacob_cov": -0.05, "expressivity": 0.87, "naswot": np.nan}, "expressivity+params"),
        ({"jacob_cov": 0.5, "expressivity": np.nan, "naswot": 0.999}, "naswot+params"),
    ],
)
def test_the_default_score_is_one_whose_ranks_repeat(
    agreement: dict[str, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hwnas.study.stability.seed_agreement",
        lambda source, **_: {n: {**agreement, "params": 1.0}[n] for n in source.columns},
    )
    name, known = default_score(EvaluationSetup(FBNet(), SMALL, 2))
    assert name == expected
    assert known["jacob_cov"] == agreement["jacob_cov"]


def test_a_search_without_a_score_takes_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hwnas.study.search.default_score", lambda *_, **__: ("naswot", {"naswot": 0.98})
    )
    front = hwnas.search("nasbench201:channels=4,cells=1", costs="count:macs", trials=2)
    assert [objective.name for objective in front.objectives] == ["naswot", "macs"]
    assert list(front.provenance["settings"]["objectives"]) == ["naswot"]
    assert front.provenance["seed_agreement"] == {"naswot": 0.98}


def test_nasbench201_keeps_its_default() -> None:
    setup = EvaluationSetup(NasBench201(), get_task("cifar10"), 32)
    name, known = default_score(setup)
    assert name == "jacob_cov+params"
    assert known == pytest.approx({"jacob_cov": 0.947, "params": 1}, abs=1e-3)
