from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.data.cifar10_sample import FILE
from hwnas.errors import InvalidValueError
from hwnas.measure.limits import Limits
from hwnas.pareto import ParetoSet
from hwnas.pareto.expected import EXPECTED, HIGH, LOW
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study import expected_accuracy, learned_space
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.expected_accuracy import with_expected_accuracy
from hwnas.study.settings import LEARNED
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

SPACE = NasBench201()


@pytest.fixture(scope="module")
def front() -> ParetoSet:
    found: ParetoSet = hwnas.search(objectives="naswot", costs="count:macs", trials=12)
    return found


def labels(n: int) -> dict[str, float]:
    """Pretend that accuracy grows with convolutions."""
    cells = reference_sample(SPACE, n, 5)
    weights = {"nor_conv_3x3": 4.0, "nor_conv_1x1": 2.0}
    return {str(c): 60 + sum(weights.get(o, 0.0) for o in c.operations) for c in cells}


def test_members_are_expected_to_be_as_accurate_as_networks_like_them(front: ParetoSet) -> None:
    stated = with_expected_accuracy(front, SPACE, labels(40), drawn=40)
    values = [m.attributes for m in stated.members]
    assert all(v[LOW] <= v[EXPECTED] <= v[HIGH] for v in values)
    convolutions = [
        sum(
            2 - (o == "nor_conv_1x1")
            for o in SPACE.parse(m.arch).operations
            if o.startswith("nor_conv")
        )
        for m in stated.members
    ]
    assert np.corrcoef([v[EXPECTED] for v in values], convolutions)[0, 1] > 0.9
    assert stated.provenance["expected"]["drawn"] == 40


def test_networks_are_scored_in_the_setting_of_their_front(monkeypatch: pytest.MonkeyPatch) -> None:
    space = NasBench201(channels=4, cells=1)
    with pytest.warns(UserWarning, match="Ranks of the reduced setting"):
        front = hwnas.search(
            space, objectives="naswot", costs="count:macs", trials=4, reduced="16,4"
        )
    seen: list[tuple[int, tuple[int, ...]]] = []

    def scores(source: Any, networks: Any, **_: Any) -> dict[str, FloatArray]:
        seen.append((source.batch_size, source.task.input.shape))
        return {p.name: np.arange(len(networks), dtype=np.float64) for p in source.proxies}

    for module in (expected_accuracy, learned_space):
        monkeypatch.setattr(module, "scores_of", scores)
    monkeypatch.setattr(learned_space, "seed_agreement", lambda *_, **__: {})
    with_expected_accuracy(front, space, labels(6), drawn=4)
    assert set(seen) == {(4, (3, 16, 16))}


def test_a_search_states_them_by_its_own_folder_and_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    (tmp_path / FILE).parent.mkdir()
    np.savez(tmp_path / FILE, images=pixels, labels=np.arange(20) % 10)
    table = tmp_path / "labels.csv"
    rows = [f"{text},{accuracy}" for text, accuracy in labels(6).items()]
    table.write_text("\n".join(["arch,accuracy", *rows, ""]), encoding="utf-8")
    seen: list[tuple[bool, float | None]] = []

    def scores(
        source: Any, networks: Any, limits: Limits | None, **_: Any
    ) -> dict[str, FloatArray]:
        seen.append((source.batch is not None, None if limits is None else limits.seconds))
        return {p.name: np.arange(len(networks), dtype=np.float64) for p in source.proxies}

    for module in (expected_accuracy, learned_space):
        monkeypatch.setattr(module, "scores_of", scores)
    monkeypatch.setattr(learned_space, "seed_agreement", lambda *_, **__: {})
    hwnas.search(
        NasBench201(channels=4, cells=1),
        objectives=["naswot", LEARNED],
        labels=table,
        costs="count:macs",
        images="cifar10-sample",
        data_folder=tmp_path,
        limit_seconds=77,
        trials=2,
        batch_size=2,
    )
    assert len(seen) == 3
    assert set(seen) == {(True, 77)}


def test_networks_are_scored_on_the_device_of_the_search(
    front: ParetoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = EvaluationSetup(SPACE, get_task("cifar10"), batch_size=2)
    object.__setattr__(setup, "device", "cuda:7")  # which need not be there
    seen: list[str] = []

    def scores(source: Any, networks: Any, **_: Any) -> dict[str, FloatArray]:
        seen.append(source.device)
        return {p.name: np.arange(len(networks), dtype=np.float64) for p in source.proxies}

    for module in (expected_accuracy, learned_space):
        monkeypatch.setattr(module, "scores_of", scores)
    monkeypatch.setattr(learned_space, "seed_agreement", lambda *_, **__: {})
    with_expected_accuracy(front, SPACE, labels(6), drawn=4, setup=setup)
    assert seen == ["cuda:7", "cuda:7"]


def test_four_labels_are_too_few(front: ParetoSet) -> None:
    with pytest.raises(InvalidValueError, match="at least 5 different networks, but got 4"):
        with_expected_accuracy(front, SPACE, labels(4))


def test_a_front_must_say_how_it_was_found(front: ParetoSet) -> None:
    silent = ParetoSet(front.space, front.objectives, front.members)
    with pytest.raises(InvalidValueError, match="must be one of `hwnas search`"):
        with_expected_accuracy(silent, SPACE, labels(6))
