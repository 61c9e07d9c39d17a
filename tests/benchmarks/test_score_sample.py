"""Scores of a sample, with and without those of a second seed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ranking import choose_recipe, score_sample


@pytest.mark.parametrize("second", [0, 2])
def test_a_second_seed_may_be_left_out(
    second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sample.npz"
    given = ["nasbench201", "--proxy", "params", "--networks", "3", "--second", str(second),
             "--pixels", "8", "--batch", "2", "--out", str(out)]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["score_sample.py", *given])
    score_sample.main()
    with np.load(out) as table:
        assert table["first.params"].shape == (3,)
        assert table["again.params"].shape == (second,)
    with pytest.raises(SystemExit, match="--second 3"):
        choose_recipe.read(out)
