"""Measurements of a benchmark that goes on from its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.predictors import own_space, unseen_host
from hwnas.spaces.nasbench201 import Cell, NasBench201

SPACE = NasBench201()


@dataclass
class Found:
    value: float


class Counted:
    """Costs grow with each measurement; the first of some cells fails."""

    def __init__(self, fails: Sequence[Cell] = ()) -> None:
        self.fails, self.calls, self.interrupted = set(fails), list[Cell](), False

    def measure_all(self, archs: Sequence[Cell]) -> list[Found]:
        if self.interrupted:
            raise KeyboardInterrupt
        values = []
        for arch in archs:
            self.calls.append(arch)
            failed = arch in self.fails
            self.fails.discard(arch)
            work = sum(map(len, arch.operations))
            values.append(Found(float("nan") if failed else work + len(self.calls) / 1000))
        return values


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    monkeypatch.setattr(own_space, "make_cost", lambda *_: made)
    return made


def test_a_measurement_goes_on_from_a_header_alone(cost: Counted, tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.csv", own_space.drawn(SPACE, 10)
    cost.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        own_space.measure(SPACE, path, wanted, "fake")
    cost.interrupted = False
    own_space.measure(SPACE, path, wanted, "fake")
    own_space.measure(SPACE, path, wanted, "fake")
    assert own_space.read_measured(SPACE, path)[0] == wanted == cost.calls


def test_what_failed_is_measured_again_and_keeps_its_place(cost: Counted, tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.csv", own_space.drawn(SPACE, 10)
    cost.fails = {wanted[3]}
    own_space.measure(SPACE, path, wanted, "fake")
    assert own_space.read_measured(SPACE, path)[0] == wanted[:3] + wanted[4:]
    own_space.measure(SPACE, path, wanted, "fake")
    assert cost.calls == [*wanted, wanted[3]]
    archs, costs = own_space.read(SPACE, path)
    assert archs == wanted
    assert np.isfinite(costs).all()


def test_random_cells_alone_are_measured_again(
    cost: Counted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(unseen_host, "DRAWS", 1)
    wanted = unseen_host.cells(unseen_host.SAMPLES, 40, 0)
    first, again = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    cost.fails = {wanted[2], wanted[-1]}  # one that is learned from, and one that is judged on
    monkeypatch.setattr("sys.argv", f"x measure {first} --again {again} --random 40".split())
    unseen_host.main()
    assert cost.calls == [*wanted, *wanted[unseen_host.SAMPLES :]]
    monkeypatch.setattr("sys.argv", f"x judge {first} --again {again} --worst 1".split())
    unseen_host.main()
    *_, chosen, random, second, worst = capsys.readouterr().out.splitlines()
    for line, name in ((chosen, "chosen"), (random, "random"), (second, "again")):
        assert line.startswith(f"| a, {name} | ")
        rank = float(line.split(" | ")[1])
        assert rank > 0.5
    assert "nan" not in chosen + random + worst


def test_one_second_measurement_is_of_one_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "judge", "a.csv", "b.csv", "--again", "c.csv"])
    with pytest.raises(SystemExit):
        unseen_host.main()
    assert "take one FILE" in capsys.readouterr().err
