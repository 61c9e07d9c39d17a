from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hwnas
from hwnas.errors import InvalidValueError
from hwnas.pareto import ParetoSet
from hwnas.pareto.expected import AMONG_BEST, EXPECTED, HIGH, LOW
from hwnas.ranking.metrics import spearman
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import reference_sample
from hwnas.study.hosts import STUDY_FILE
from hwnas.study.settings import LEARNED

SPACE = NasBench201(channels=4, cells=1)


def accuracy(text: str) -> float:
    """Pretend that skips are what matters, which no proxy believes."""
    return 60 + 5.0 * SPACE.parse(text).operations.count("skip_connect")


def write(folder: Path, n: int) -> Path:
    texts = [str(cell) for cell in reference_sample(SPACE, n, 5)]
    path = folder / "labels.csv"
    rows = [f"{text},{accuracy(text)}" for text in texts]
    path.write_text("arch,accuracy\n" + "\n".join([*rows, ""]), encoding="utf-8")
    return path


@pytest.fixture(scope="module", autouse=True)
def _few_drawn() -> Iterator[None]:
    """Draw 64 networks of the space, not 256: each is scored by eight proxies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.study.expected_accuracy.REFERENCE_SIZE", 64)
        yield


@pytest.fixture
def scores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is scored for the other tests of this file."""
    monkeypatch.setenv("HWNAS_CACHE", str(folder / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


@pytest.fixture(scope="module")
def front(folder: Path) -> ParetoSet:
    labels = write(folder, 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_CACHE", str(folder / "cache"))
        found: ParetoSet = hwnas.search(
            SPACE, labels=labels, costs="count:params", trials=16, batch_size=2, out=folder / "out"
        )
    return found


def test_the_objective_is_the_expected_accuracy(front: ParetoSet) -> None:
    assert front.objectives[0].name == LEARNED
    rows = [row for row in front.evaluated if row.values[0] is not None]
    known = [accuracy(row.arch) for row in rows]
    assert spearman([row.values[0] or 0.0 for row in rows], known) > 0.8


def test_each_member_has_its_interval_and_the_objective_is_within(front: ParetoSet) -> None:
    for member in front.members:
        told = member.attributes
        assert told[LOW] <= told[EXPECTED] <= told[HIGH]
        assert told[EXPECTED] == pytest.approx(member.values[0])
        assert 0 <= told[AMONG_BEST] <= 1
    assert front.provenance["expected"]["labels"] <= 40


@pytest.mark.usefixtures("front")
def test_the_report_has_it(folder: Path) -> None:
    assert "expected accuracy" in (folder / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("scores")
def test_a_study_goes_on_with_its_labels_alone(front: ParetoSet, folder: Path) -> None:
    def again(trials: int) -> ParetoSet:
        found: ParetoSet = hwnas.search(
            SPACE,
            labels=folder / "labels.csv",
            costs="count:params",
            trials=trials,
            batch_size=2,
            out=folder / "out",
        )
        return found

    assert again(16).members == front.members
    write(folder, 30)
    with pytest.raises(InvalidValueError, match="must be continued with the settings"):
        again(18)


def test_labels_must_be_there_and_enough(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="`labels` must be given with the objective"):
        hwnas.search(SPACE, objectives=LEARNED, costs="count:params", trials=2, batch_size=2)
    with pytest.raises(InvalidValueError, match="`transfer` must be given with labels"):
        hwnas.search(SPACE, transfer="nasbench201", costs="count:params", trials=2, batch_size=2)
    with pytest.raises(InvalidValueError, match="at least 5 different networks, but got 4"):
        hwnas.search(SPACE, labels=write(tmp_path, 4), costs="count:params", trials=2, batch_size=2)


def test_labels_that_are_stated_alone_are_looked_at_before_the_trials(tmp_path: Path) -> None:
    def search(labels: int, transfer: str = "") -> None:
        hwnas.search(
            SPACE,
            labels=write(tmp_path, labels),
            transfer=transfer or (),
            objectives="params",
            costs="count:macs",
            trials=2,
            batch_size=2,
            out=tmp_path / "out",
        )

    with pytest.raises(InvalidValueError, match="at least 5 different networks, but got 4"):
        search(4)
    with pytest.raises(InvalidValueError, match="facet Truth"):
        search(6, "mobilenetv2")
    assert not (tmp_path / "out" / STUDY_FILE).exists()


@pytest.mark.usefixtures("scores")
def test_the_present_network_is_expected_to_have_what_its_scores_say(tmp_path: Path) -> None:
    from torch import nn

    def network() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))

    told: list[str] = []
    front = hwnas.search(
        SPACE,
        labels=write(tmp_path, 20),
        costs="count:params",
        trials=4,
        batch_size=2,
        baseline=network,
        note=told.append,
    )
    assert "hwnas-model of network is what its scores alone say: " in told[-1]
    assert front.baseline is not None
    expected, params = front.baseline.values
    assert params == 30730
    assert 60 <= (expected or 0) <= 80  # the accuracies of the labels
    again = hwnas.with_baseline(front, network, space=SPACE).baseline
    assert again == front.baseline
