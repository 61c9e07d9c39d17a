from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import hwnas

# Shipped scores and counts, and a sampler that models nothing.
CHEAP: dict[str, Any] = {
    "objectives": "layers",
    "costs": ["count:macs"],
    "batch_size": 16,
    "sampler": "random",
}


def test_a_study_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    front = hwnas.search(hwnas.NasBench201(), trials=10, **CHEAP)
    assert len(front) > 0
    assert front.provenance["evaluated"] == 10
    assert "storage" not in front.provenance
    assert not [*tmp_path.iterdir()]


def test_a_space_and_its_text_are_searched_alike() -> None:
    made = hwnas.search(hwnas.NasBench201(), trials=10, seed=3, **CHEAP)
    named = hwnas.search("nasbench201", trials=10, seed=3, **CHEAP)
    assert [m.values for m in made.members] == [m.values for m in named.members]
    assert made.space == named.space


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    first = hwnas.search(trials=6, out=tmp_path / "found", **CHEAP)
    assert first.provenance["evaluated"] == 6
    more = hwnas.search(trials=12, out=str(tmp_path / "found"), **CHEAP)
    assert [e.arch for e in more.evaluated[:6]] == [e.arch for e in first.evaluated]
    assert len(more.evaluated) == 12
    assert hwnas.ParetoSet.load(tmp_path / "found/front.json") == more
    with pytest.raises(hwnas.InvalidValueError, match="seed: 0 there, 1 now"):
        hwnas.search(trials=12, out=tmp_path / "found", seed=1, **CHEAP)


def test_a_storage_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    assert hwnas.search(trials=4, storage=storage, **CHEAP).provenance["evaluated"] == 4
    assert hwnas.search(trials=6, storage=storage, **CHEAP).provenance["evaluated"] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


def coloured(trial: Any) -> nn.Module:
    """Five classes at every pixel."""
    width = trial.suggest_int("width", 4, 16, step=4)
    layers = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, trial.classes, 1)]
    return nn.Sequential(*layers)


def test_networks_of_ones_own_that_answer_otherwise_are_searched() -> None:
    settings = {**CHEAP, "objectives": "grad_norm", "batch_size": 2}
    found = hwnas.search(coloured, input=(3, 8, 8), classes="map5", trials=4, **settings)
    assert found.provenance["dataset"]["output"] == {"Map": 5}
    assert len(found.evaluated) == 4
    # The front is opened again by its text alone.
    assert "classes=map5" in found.space
    with pytest.raises(hwnas.InvalidValueError, match=r"`classes` must be a number of classes, or"):
        hwnas.search(coloured, input=(3, 8, 8), classes="maps5", trials=4, **settings)


def test_a_space_that_is_registered_nowhere_is_searched_for_its_images(
    conditional_space: Any, tmp_path: Path
) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", images=rng.normal(size=(8, 1, 8, 8)), labels=np.arange(8) % 3)
    front = hwnas.search(
        conditional_space,
        images=str(tmp_path / "mine.npz"),
        trials=4,
        **{**CHEAP, "objectives": "params", "batch_size": 8},
    )
    assert front.provenance["dataset"]["num_classes"] == 3
    assert front.provenance["dataset"]["in_shape"] == [1, 8, 8]


def test_remarks_are_warnings_or_told() -> None:
    alike = {**CHEAP, "objectives": "flops"}
    told: list[str] = []
    hwnas.search(trials=30, note=told.append, **alike)
    assert "redundant" in told[0]
    with pytest.warns(UserWarning, match="redundant"):
        hwnas.search(trials=30, **alike)


@pytest.mark.parametrize(
    ("space", "settings", "text"),
    [
        ("nasbench2O1", {}, "Did you mean 'nasbench201'"),
        (hwnas.NasBench201, {}, "got the class NasBench201: call it"),
        (7, {}, "must be a search space, the text of one, a function.*, but got 7"),
        ("nasbench201", {"dataset": "cifar1O"}, "Did you mean 'cifar10'"),
        ("nasbench201", {"objectives": ["nasvot"]}, "Did you mean 'naswot'"),
        ("nasbench201", {"objectives": [3]}, "`objectives` must be texts.* but got 3"),
        ("nasbench201", {"constraints": "macs<5"}, "NAME<=NUMBER"),
        ("nasbench201", {"trials": -1}, "`trials` must be at least 0, but got -1"),
        ("nasbench201", {"trials": 2.5}, "`trials` must be at least 0, but got 2.5"),
        ("nasbench201", {"batch_size": 1}, "`batch_size` must be at least 2"),
        ("nasbench201", {"seed": -1}, "`seed` must be at least 0"),
        ("nasbench201", {"sampler": "nsga3"}, "nsga2"),
    ],
)
def test_bad_arguments_are_one_line(space: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        hwnas.search(space, **{**CHEAP, **settings})
    assert "\n" not in str(error.value)


def build(trial: Any) -> Any:
    from torch import nn

    width = trial.suggest_int("width", 8, 64, step=8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 5))


def test_whole_numbers_may_be_numpy_s() -> None:
    numbers = {"trials": np.int64(3), "batch_size": np.int32(4), "seed": np.uint8(1)}
    assert len(hwnas.search(**{**CHEAP, **numbers}).evaluated) == 3


SIZES: dict[str, Any] = {"input": (1, 8, 8), "classes": 5}
OWN: dict[str, Any] = {**CHEAP, "objectives": "params", "batch_size": 4, "trials": 4}


def test_a_function_of_a_trial_is_searched_and_its_front_is_opened_again(tmp_path: Path) -> None:
    front = hwnas.search(build, out=tmp_path, **SIZES, **OWN)
    widths = {json.loads(e.arch)["width"]: e.values[0] for e in front.evaluated}
    assert all(params == 70 * width + 5 for width, params in widths.items())
    assert front.provenance["dataset"] == {
        "name": "1x8x8:5", "num_classes": 5, "in_shape": [1, 8, 8]
    }  # fmt: skip
    again = hwnas.search(hwnas.FunctionSpace(build, (1, 8, 8), 5), out=tmp_path, **SIZES, **OWN)
    assert again.members == front.members
    compared = hwnas.with_baseline(front, lambda: build(_Fixed()))
    assert compared.baseline is not None
    assert compared.baseline.values == (70 * 8 + 5, 69 * 8)


class _Fixed:
    def suggest_int(self, name: str, low: int, high: int, step: int = 1) -> int:
        del name, high, step
        return low


def test_a_space_says_what_it_is_for_and_a_list_is_a_choice() -> None:
    from torch import nn

    front = hwnas.search(hwnas.FunctionSpace(build, (1, 8, 8), 5), **OWN)
    assert front.provenance["dataset"]["num_classes"] == 5

    def small() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))

    def large() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.Linear(9, 5))

    chosen = hwnas.search([small, large], **SIZES, **OWN)
    assert {e.values[0] for e in chosen.evaluated} <= {325.0, 635.0}


@pytest.mark.parametrize(
    ("space", "settings", "text"),
    [
        (build, {}, "`input` and `classes` must be given with build"),
        (build, {"input": (1, 8, 8)}, "must be given together.* but got `input`"),
        (build, {**SIZES, "dataset": "cifar10"}, "without `dataset`"),
        (build, {"input": (1, 2, 3, 4), "classes": 5}, r"`input` must be \(C, H, W\)"),
        (lambda: None, SIZES, "takes no argument"),
        ([3], SIZES, "must list functions or classes"),
    ],
)
def test_what_is_not_said_of_own_networks_is_asked_for(
    space: Any, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        hwnas.search(space, **settings, **OWN)
    assert "\n" not in str(error.value)


class OfATrial(nn.Module):
    def __init__(self, trial: Any) -> None:
        super().__init__()
        width = trial.suggest_int("width", 4, 12)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)]
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), *head)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


def test_a_class_of_networks_that_takes_a_trial_is_searched() -> None:
    front = hwnas.search(
        OfATrial, input=(1, 8, 8), classes=3, objectives="synflow", costs="count:macs", trials=2
    )
    assert front.space.startswith(f"{__name__}:OfATrial:input=1x8x8,classes=3")
