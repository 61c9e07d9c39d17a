"""The benchmark that the settings of the transfer model are chosen by."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.predictors import choose_transfer
from benchmarks.predictors.choose_transfer import interval_score, text_of, trust_of
from benchmarks.predictors.row_order import steady
from benchmarks.predictors.transfer import some_of
from hwnas.data.device_pool import DevicePool
from hwnas.spaces.fbnet import FBNet
from hwnas.typing import DeviceKey
from hwnas_predictors.beliefs import TRUST, WRONG
from hwnas_predictors.transfer import TransferPredictor


def test_the_trust_that_ships_is_one_that_can_be_compared() -> None:
    assert trust_of(text_of(TRUST)) == TRUST
    assert trust_of("0.5,0.25") == {"executed": 0.5, "pruned": 0.25}
    assert trust_of("0.8") == {"executed": 0.8, "pruned": 0.8}


@pytest.mark.parametrize("text", ["", "1", "0.5,0", "0.5,0.2,0.1", "much"])
def test_what_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"trust|float"):
        trust_of(text)


def test_settings_are_chosen_by_what_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learned without drift, judged as published; rows are drawn after the drift is known."""
    rng = np.random.default_rng(0)
    space = FBNet()
    archs = tuple(space.sample(rng) for _ in range(400))
    costs = rng.uniform(1, 2, (2, 400))
    keys = (DeviceKey("a"), DeviceKey("b"))
    pool = DevicePool(space, archs, ("a", "b"), keys, costs, "latency", "ms", "")
    seen: list[DevicePool[Any]] = []
    monkeypatch.setattr(choose_transfer, "device_pool", lambda _: pool)
    monkeypatch.setattr(choose_transfer, "compare", lambda *given: seen.extend(given[:3]))
    monkeypatch.setattr("sys.argv", ["x", "--space", "fbnet", "--archs", "20"])
    choose_transfer.main()
    judged, source, whole = seen
    assert whole is pool  # which supports are chosen from
    np.testing.assert_array_equal(judged.costs, some_of(pool, 20).costs)
    np.testing.assert_array_equal(source.costs, some_of(steady(pool), 20).costs)
    assert not np.allclose(source.costs, judged.costs)


def test_an_error_counts_by_its_factor_down_to_a_fiftieth_of_the_median() -> None:
    true = np.array([1.0, 100.0, 200.0])
    exact = interval_score(true, true, true)
    assert exact == 0
    # The first is known as 2 at least: [2, 4] has the width log 2 and holds it.
    wide = interval_score(np.array([0.5, 100, 200]), np.array([4.0, 100, 200]), true)
    assert wide == pytest.approx(np.log(2) / 3)
    # 90 % intervals that are missed by a factor cost 20 times its logarithm.
    missed = interval_score(np.array([1.0, 110, 200]), np.array([1.0, 110, 200]), true)
    assert missed == pytest.approx(20 * np.log(1.1) / 3)


def test_supports_are_of_all_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few architectures to judge on every repetition would choose the same ones."""
    rng = np.random.default_rng(0)
    space = FBNet()
    archs = tuple(space.sample(rng) for _ in range(200))
    costs = rng.uniform(1, 2, (1, 200))
    whole = DevicePool(space, archs, ("a",), (DeviceKey("a"),), costs, "latency", "ms", "")
    learned: list[dict[Any, float]] = []

    class Recorder:
        def choose_support(self, n: int, seed: int, known: list[Any], _: object) -> list[Any]:
            return [known[i] for i in np.random.default_rng(seed).choice(len(known), n, False)]

        def adapt(self, support: list[Any], costs: list[float], _: object) -> None:
            learned.append(dict(zip(support, costs, strict=True)))

    monkeypatch.setattr(choose_transfer, "score", lambda *_: [0.0])
    arguments = argparse.Namespace(samples=[5], repeats=3, trust=[TRUST], wrong=[WRONG], off=1.0)
    lines: choose_transfer.Lines = defaultdict(list)
    small, common = some_of(whole, 10), list(range(200))
    recorder = cast(TransferPredictor[Any], Recorder())
    choose_transfer.judge_device(recorder, small, whole, "a", common, arguments, lines)
    assert len({tuple(support) for support in learned}) == 6
    measured = dict(zip(archs, costs[0], strict=True))
    assert all(measured[arch] == cost for support in learned for arch, cost in support.items())
    assert not set().union(*learned) <= set(small.archs)
