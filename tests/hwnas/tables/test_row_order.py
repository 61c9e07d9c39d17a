from __future__ import annotations

import math

import numpy as np
import pytest

from hwnas.tables.row_order import LEAST, serial_correlation, speed_changed


def test_of_orders_that_are_known() -> None:
    ramp = np.arange(40.0)
    assert serial_correlation(ramp) == pytest.approx(1)
    assert serial_correlation(np.where(ramp % 2, 1.0, -1.0)) == pytest.approx(-1)
    # Blocks of ten: 36 of 39 neighbours agree, so the correlation of two values is 1 - 2 * 3 / 39
    # where both are as frequent.
    assert serial_correlation(np.where(ramp // 10 % 2, 1.0, -1.0)) == pytest.approx(0.846, abs=0.01)


def test_missing_errors_are_left_out_and_few_say_nothing() -> None:
    ramp = np.arange(60.0)
    ramp[::7] = math.nan
    assert serial_correlation(ramp) == pytest.approx(1)
    for nothing in (np.arange(LEAST - 1.0), np.ones(50), np.full(50, math.nan), np.empty(0)):
        assert math.isnan(serial_correlation(nothing))
        assert not speed_changed(nothing)


def test_a_device_that_slows_down_is_told_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 200))
    assert not any(speed_changed(row) for row in noise)
    slower = noise[0] + 2.0 * (np.arange(200) >= 120)
    assert speed_changed(slower)
    assert not speed_changed(rng.permutation(slower))
