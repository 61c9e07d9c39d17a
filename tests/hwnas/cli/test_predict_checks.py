from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hwnas.cli.predict_checks import note_chance, note_left_out


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_between_which_the_device_slowed_down_are_told(
    shuffled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(1, 2, 80)
    costs = predicted * rng.uniform(0.95, 1.05, 80) * np.where(np.arange(80) < 50, 1, 1.3)
    order = rng.permutation(80) if shuffled else np.arange(80)
    note_left_out(SimpleNamespace(left_out=predicted[order]), costs[order])
    told = "rows one after another agree" in capsys.readouterr().err
    assert told is not shuffled


@pytest.mark.parametrize("better", [False, True])
def test_ranks_no_better_than_chance_are_told_with_what_to_do(
    better: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = np.array([1.0, 2, 3, 4, np.nan])
    predicted = np.array([1.0, 2, 4, 3, 5]) if better else np.array([3.0, 4, 1, 2, np.nan])
    note_left_out(SimpleNamespace(left_out=np.where(costs == costs, predicted, np.nan)), costs)
    alone = capsys.readouterr().err
    note_chance(predicted, costs)
    for told in (" ".join(alone.split()), " ".join(capsys.readouterr().err.split())):
        assert ("no better than chance (Spearman -0.60): do not search with it" in told) != better


def test_equal_costs_have_no_rank(capsys: pytest.CaptureFixture[str]) -> None:
    note_left_out(SimpleNamespace(left_out=np.array([5.0, 5.1, 4.9, 5.0])), np.full(4, 5.0))
    told = capsys.readouterr().err
    assert "leaving one out: median error" in told
    assert "nan" not in told
