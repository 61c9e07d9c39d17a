"""The benchmark that the settings of the transfer model are chosen by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.predictors import choose_transfer
from benchmarks.predictors.choose_transfer import text_of, trust_of
from benchmarks.predictors.row_order import steady
from benchmarks.predictors.transfer import some_of
from hwnas.data.device_pool import DevicePool
from hwnas.spaces.fbnet import FBNet
from hwnas.typing import DeviceKey
from hwnas_predictors.beliefs import TRUST


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
    monkeypatch.setattr(choose_transfer, "compare", lambda *given: seen.extend(given[:2]))
    monkeypatch.setattr("sys.argv", ["x", "--space", "fbnet", "--archs", "20"])
    choose_transfer.main()
    judged, source = seen
    np.testing.assert_array_equal(judged.costs, some_of(pool, 20).costs)
    np.testing.assert_array_equal(source.costs, some_of(steady(pool), 20).costs)
    assert not np.allclose(source.costs, judged.costs)
