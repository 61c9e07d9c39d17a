"""Which accuracies a run of `hwnas rank` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hwnas.data.checks import insist_on_published
from hwnas.errors import UnknownNameError
from hwnas.rank_study import study
from hwnas.rank_study.study import RankSettings, RankStudy

COLUMNS: Mapping[str, Mapping[str, float]] = {
    "cifar10": {"trained": 1.0, "supernet": 2.0},
    "ImageNet": {"supernet": 3.0},
}


class Known:
    splits = ("trained", "supernet")

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        del folder
        insist_on_published("the tests", dataset, COLUMNS, split, COLUMNS.get(dataset, {}))
        return {"": COLUMNS[dataset][split]}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_truth", lambda *_: Known())


def test_without_a_split_each_data_set_has_the_first_of_its_own() -> None:
    made = RankStudy.prepare(RankSettings(datasets=("cifar10", "ImageNet"), proxies=("params",)))
    assert [(known.dataset, known.split) for known in made.truths.values()] == [
        ("cifar10", "trained"),
        ("ImageNet", "supernet"),
    ]


def test_what_a_data_set_does_not_have_is_refused() -> None:
    settings = RankSettings(datasets=("ImageNet",), split="trained", proxies=("params",))
    with pytest.raises(UnknownNameError, match="`split of ImageNet` must be one of supernet"):
        RankStudy.prepare(settings)
    with pytest.raises(UnknownNameError, match="`dataset of the tests` must be one of"):
        RankStudy.prepare(RankSettings(datasets=("cifar100",), proxies=("params",)))
