from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
        (7, {}, "must be a search space or the text of one, but got 7"),
        ("nasbench201", {"dataset": "cifar1O"}, "Did you mean 'cifar10'"),
        ("nasbench201", {"objectives": ["nasvot"]}, "Did you mean 'naswot'"),
        ("nasbench201", {"objectives": [3]}, "`objectives` must be texts.* but got 3"),
        ("nasbench201", {"constraints": "macs<5"}, "NAME<=NUMBER"),
        ("nasbench201", {"trials": 0}, "`trials` must be at least 1, but got 0"),
        ("nasbench201", {"trials": 2.5}, "`trials` must be at least 1, but got 2.5"),
        ("nasbench201", {"batch_size": 1}, "`batch_size` must be at least 2"),
        ("nasbench201", {"seed": -1}, "`seed` must be at least 0"),
        ("nasbench201", {"sampler": "nsga3"}, "nsga2"),
    ],
)
def test_bad_arguments_are_one_line(space: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        hwnas.search(space, **{**CHEAP, **settings})
    assert "\n" not in str(error.value)
