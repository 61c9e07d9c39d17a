"""Scores of a reduced setting: what they are computed on, and how they agree with the full one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.proxies import make_proxies
from hwnas.ranking.ranks import spearman_rho
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench_macro import NasBenchMacro
from hwnas.spaces.space_text import read_space
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.reduction import full_agreement
from hwnas.study.settings import SearchSettings
from hwnas.tasks.reduced import Reduced
from hwnas.tasks.task import image_task

TASK = image_task(7, (3, 32, 32))
SETUP: EvaluationSetup[Any] = EvaluationSetup(NasBenchMacro(), TASK, 4, reduced=Reduced(16, 2))


def test_proxies_see_the_reduced_setting_and_costs_the_task() -> None:
    source = SETUP.proxies(make_proxies(["flops", "naswot"]))
    assert (source.task.input.shape, source.batch_size) == ((3, 16, 16), 2)
    arch = SETUP.space.parse("11111111")
    count = SETUP.cost("count:any:flops").predict([arch])[0]
    found = source.compute(arch, source.columns)
    # All of this network but its classifier, which is as large, shrinks with the image.
    ratio = (count - 2 * 7 * 1280) / (found["flops"].value - 2 * 7 * 1280)
    assert ratio == pytest.approx(4, rel=0.1)


def test_scores_of_the_two_settings_are_cached_apart() -> None:
    small = SETUP.proxies(make_proxies(["naswot"]))
    full = replace(SETUP, reduced=None).proxies(make_proxies(["naswot"]))
    assert small.cache_prefix("naswot") != full.cache_prefix("naswot")
    same = EvaluationSetup(SETUP.space, image_task(7, (3, 16, 16)), 2)
    assert small.cache_prefix("naswot") == same.proxies(full.proxies).cache_prefix("naswot")


def test_agreement_is_that_of_the_scores_themselves() -> None:
    found = full_agreement(SETUP, ["jacob_cov+params", "naswot"], size=6)
    assert list(found) == ["jacob_cov+params", "jacob_cov", "params", "naswot"]
    assert found["params"] == pytest.approx(1)
    networks = reference_sample(SETUP.space, 6, 0)
    recipe = RECIPES["jacob_cov+params"]
    columns = []
    for setup in (SETUP, replace(SETUP, reduced=None)):
        source = setup.proxies(recipe.make())
        rows = [source.compute(arch, recipe.proxies) for arch in networks]
        columns.append(np.array([[row[name].value for name in recipe.proxies] for row in rows]))
    assert found["jacob_cov"] == pytest.approx(spearman_rho(columns[0][:, 0], columns[1][:, 0]))
    joined = [recipe.in_population(column) for column in columns]
    assert found[recipe.name] == pytest.approx(spearman_rho(*joined))


def test_networks_that_resize_their_images_are_refused() -> None:
    setup: EvaluationSetup[Any] = EvaluationSetup(
        read_space("mobilenetv3"), image_task(7, (3, 64, 64)), reduced=Reduced(32)
    )
    with pytest.raises(InvalidValueError, match="choose the size of their images themselves"):
        full_agreement(setup, ["naswot"])


def test_older_studies_go_on_and_others_name_the_setting() -> None:
    assert "reduced" not in SearchSettings().identity()
    reduced = SearchSettings(reduced="16,2")
    assert reduced.identity()["reduced"] == "16,2"
    assert SearchSettings.from_identity(reduced.identity()).reduced == "16,2"


def test_a_search_says_how_well_the_settings_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    notes: list[str] = []
    front = hwnas.search(
        "nasbench-macro",
        objectives="naswot",
        costs="count:any:macs",
        batch_size=4,
        reduced="16,2",
        trials=3,
        note=notes.append,
    )
    assert set(front.provenance["reduced_agreement"]) == {"naswot"}
    assert any("Ranks of the reduced setting" in line for line in notes)
    with ResultCache.default() as cache:
        again = full_agreement(replace(SETUP, task=image_task(10, (3, 32, 32))), ["naswot"],
                               cache=cache)  # fmt: skip
    assert again == front.provenance["reduced_agreement"]
