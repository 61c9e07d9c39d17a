from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import hwnas
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.trained import STAYS, with_accuracies
from hwnas.reports.report_words import command
from hwnas.study.no_trials import quality_of


def test_the_front_of_the_whole_space_without_a_trial() -> None:
    front = hwnas.search(objectives="naswot", costs="count:params", trials=0, note=print)
    assert front.provenance["evaluated"] > 5000
    # The largest naswot of all is a member, and so is the network with the fewest parameters.
    best = max(row.values[0] for row in front.evaluated if row.values[0] is not None)
    least = min(row.values[1] for row in front.evaluated if row.values[1] is not None)
    assert front.members[0].values[0] == best
    assert front.members[-1].values[1] == least


def test_bounds_hold() -> None:
    front = hwnas.search(
        objectives="naswot", costs="count:params", constraints="params<=3e5", trials=0, note=print
    )
    assert front.provenance["infeasible"] > 0
    assert max(member.values[1] for member in front.members) <= 3e5


def test_a_ready_made_score_is_the_default_and_the_results_are_written(tmp_path: Path) -> None:
    front = hwnas.search(costs="count:params", trials=0, out=tmp_path / "out", note=print)
    assert front.objectives[0].name == "hwnas-any"
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"front.json", "report.html"}


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_published_accuracies_rate_it() -> None:
    told: list[str] = []
    front = hwnas.search(costs="hw-nas-bench:edgegpu:latency", trials=0, note=told.append)
    assert front.provenance["no_trials"]["tight_hypervolume"] > 0.95
    assert any("tight hypervolume 0.9" in line for line in told)


def test_a_front_that_encloses_nothing_is_told_by_its_members_alone() -> None:
    told = {"tight_hypervolume": None, "recall": 1.0, "published": "cifar10, validation"}
    front = ParetoSet("own", (ObjectiveInfo("score"),), (), {"no_trials": told})
    assert quality_of(front) == [
        "Without a trial, by the published accuracies (cifar10, validation): 1.00 of the true "
        "front's members."
    ]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"space": "mobilenetv2"}, InvalidValueError, "must be at least 1 for mobilenetv2"),
        ({"space": "nasbench201:cells=1"}, InvalidValueError, "with other settings"),
        ({"costs": "onnxruntime:cpu:latency"}, InvalidValueError, "known without a trial"),
        ({"objectives": "dextr"}, UnknownNameError, "dextr"),
        ({"objectives": "all"}, UnknownNameError, "objective"),
        ({"objectives": "hwnas-model"}, InvalidValueError, "at least 1 with hwnas-model"),
        ({"dataset": "cifar100"}, InvalidValueError, "must be cifar10 for .* got 'cifar100'"),
        ({"labels": "absent.csv", "transfer": "nasbench201"}, InvalidValueError, "labels, transf"),
        ({"batch_size": 16, "seed": 1}, InvalidValueError, "at least 1 with batch, seed, which"),
        ({"reduced": "16"}, InvalidValueError, "at least 1 with reduced"),
        ({"sampler": "random"}, InvalidValueError, "at least 1 with sampler"),
        ({"storage": "journal:absent.log"}, InvalidValueError, "at least 1 with storage"),
        ({"baseline": nn.Identity()}, InvalidValueError, "at least 1 with baseline"),
    ],
)
def test_what_is_not_known_beforehand_is_refused(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        hwnas.search(**{"costs": "count:params", "trials": 0, **options})


def test_a_data_set_of_the_same_images_and_classes_has_the_same_scores() -> None:
    front = hwnas.search(
        input=(3, 32, 32), classes=10, objectives="naswot", costs="count:params", trials=0
    )
    assert front.provenance["evaluated"] > 5000


def test_a_proxy_to_be_minimised_keeps_values_and_direction() -> None:
    front = hwnas.search(objectives="ntk_cond", costs="count:params", trials=0, note=print)
    assert front.objectives[0] == ObjectiveInfo("ntk_cond", "", "minimize")
    known = [row.values[0] for row in front.evaluated if row.values[0] is not None]
    assert min(known) > 0
    assert front.members[0].values[0] == min(known)


def test_the_front_says_what_it_is_of_and_takes_accuracies_back() -> None:
    front = hwnas.search(costs="count:params", trials=0, note=print)
    settings = front.provenance["settings"]
    assert (settings["objectives"], settings["trials"]) == (["hwnas-any"], 0)
    assert not {"batch", "sampler"} & settings.keys()
    assert "16 for meco" in front.provenance["scores"]["images"]
    assert front.provenance["score_versions"] == {"hwnas-any": 2}
    words = command(front.provenance)
    assert "--trials 0" in words
    assert "--batch" not in words
    # `hwnas-any` and not the number of parameters is held against the accuracies as a score.
    runs = {m.key: [60.0 + i] for i, m in enumerate(front.members[:5])}
    trained = with_accuracies(front, runs).front
    assert trained.members[4].attributes[STAYS]


@pytest.mark.parametrize("study", [True, False])
def test_the_results_of_a_study_are_not_overwritten(study: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {"objectives": "naswot", "costs": "count:params", "note": print}
    storage = None if study else f"journal:{tmp_path / 'study.log'}"
    hwnas.search(**options, batch_size=2, trials=2, out=out, storage=storage)
    before = (out / "front.json").read_bytes()
    with pytest.raises(InvalidValueError, match="`out` must be a folder without a study"):
        hwnas.search(**options, trials=0, out=out)
    assert (out / "front.json").read_bytes() == before
    (out / "front.json").write_bytes(b"damaged")
    with pytest.raises(InvalidValueError, match="`out` must be a folder without a study"):
        hwnas.search(**options, trials=0, out=out)


def test_a_front_without_trials_is_made_again_in_its_folder(tmp_path: Path) -> None:
    options: dict[str, Any] = {"costs": "count:params", "trials": 0, "out": tmp_path, "note": print}
    bounds = ["params<=1e5"]
    for name in ("naswot", "synflow"):
        hwnas.search(objectives=name, constraints=bounds, **options)
        assert ParetoSet.load(tmp_path / "front.json").objectives[0].name == name
