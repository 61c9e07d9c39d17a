"""The place of a front's scores among networks drawn from the space."""

from __future__ import annotations

import numpy as np
import pytest

import hwnas
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.standing import standings, with_standing
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup, reference_sample, score_objective
from hwnas.tasks.task import image_task

SPACE = NasBench201()


def front() -> ParetoSet:
    archs = [Cell(("nor_conv_3x3", *("none",) * 4, o)) for o in ("none", "skip_connect")]
    objectives = [ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("latency_ms", "ms")]
    rows = np.array([[3.0, 9.0], [1.0, 2.0]])
    return ParetoSet.from_values(archs, ["0", "1"], rows, objectives, space=SPACE)


def test_members_carry_the_share_that_they_exceed() -> None:
    references = {"score": [0.0, 1.0, 2.0, 2.5, 9.0], "other": [1.0]}
    found = with_standing(front(), references)
    # 3 exceeds four of five; 1 exceeds one and equals one.
    shares = [member.attributes["score_better_than"] for member in found.members]
    assert shares == pytest.approx([0.8, 0.3])
    assert "other_better_than" not in found.members[0].attributes
    assert standings(found) == [
        "score: the members rank better than 30 to 80 % of networks drawn from the space."
    ]


def test_one_share_is_said_once() -> None:
    found = with_standing(front(), {"score": [0.0, 9.0]})
    assert standings(found) == [
        "score: the members rank better than 50 % of networks drawn from the space."
    ]


def test_without_references_nothing_is_said() -> None:
    assert with_standing(front(), {}) == front()
    assert standings(front()) == []


def test_a_calibrated_score_knows_its_references() -> None:
    recipe = RECIPES["jacob_cov+params"]
    setup = EvaluationSetup(NasBench201(channels=4, cells=1), image_task(10, (3, 8, 8)), 4)
    objective = score_objective(setup.proxies(recipe.make()), recipe, size=5)
    archs = reference_sample(setup.space, 5, 0)
    assert objective.reference == pytest.approx([objective(arch) for arch in archs])


def test_a_search_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hwnas.study.configuration.reference_sample",
        lambda space, n, seed: reference_sample(space, min(n, 8), seed),
    )
    space = "nasbench201:channels=4,cells=1"
    found = hwnas.search(space, objectives="jacob_cov+params", costs="count:macs", trials=3)
    for member in found.members:
        assert 0 <= member.attributes["jacob_cov+params_better_than"] <= 1
