"""Networks of a user's own whose cost is asked for may end their process, not this one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hwnas
from hwnas.costs.source import make_cost
from hwnas.measure.limits import Limits
from hwnas.rank_study.costs import costs_of
from hwnas.rank_study.study import RankSettings, RankStudy
from hwnas.spaces.nasbench201 import NasBench201

MODULE = """
import os
from dataclasses import dataclass, field

from torch import nn

from hwnas.spaces.assignments import AssignmentSpace
from hwnas.spaces.choices import Options
from hwnas.tasks.catalogue import get_task


class Trap(nn.Flatten):
    def forward(self, x):
        os._exit(7)


@dataclass(frozen=True)
class Ranked(AssignmentSpace):
    name: str = field(default="ranked-traps", init=False, repr=False)
    default_task: object = field(default=get_task("cifar10"), init=False, repr=False)

    def ask(self, choose):
        return choose("kind", Options(("deadly", "narrow", "wide")))

    def build(self, arch, task=None):
        kind = self.asked(arch)
        inner = 4 if kind == "narrow" else 8
        flat = Trap() if kind == "deadly" else nn.Flatten()
        return nn.Sequential(flat, nn.Linear(3072, inner), nn.Linear(inner, 10))
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "ranked_traps_for_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("ranked_traps_for_test").Ranked()


def test_a_network_that_ends_its_process_has_no_cost_and_is_named(
    space: Any, tmp_path: Path
) -> None:
    archs = [str(space.decode({"kind": kind})) for kind in ("deadly", "narrow", "wide")]
    known = pd.DataFrame({"architecture": archs, "accuracy": [90, 91, 92]})
    known.to_csv(tmp_path / "acc.csv", index=False)
    told: list[str] = []
    chosen: dict[str, Any] = {"truth": "acc.csv", "proxies": "params", "sample": 3}
    found = hwnas.rank(space, cost="count:macs", note=told.append, **chosen)
    (row,) = found.rows
    assert (row["n"], row["front_members"]) == (3, 2)
    (line,) = [line for line in told if "macs" in line]
    assert line.startswith("1 architectures have no macs, e.g.: ")
    assert "EXIT(7)" in line


def test_costs_one_by_one_are_those_of_all_at_once(space: Any) -> None:
    cells = [space.decode({"kind": kind}) for kind in ("narrow", "wide")]
    cost = make_cost("count:macs", space, space.default_task)
    told: list[str] = []
    apart = costs_of(space, cost, cells, told.append, limits=Limits())
    assert apart.tolist() == [4 * 3082, 8 * 3082]
    np.testing.assert_array_equal(costs_of(space, cost, cells, told.append), apart)
    assert told == []
    deadly = [space.decode({"kind": "deadly"})]
    with pytest.raises(hwnas.InvalidValueError, match=r"macs has none of the 1, e\.g\.: .*EXIT"):
        costs_of(space, cost, deadly, told.append, limits=Limits())


def test_limits_that_are_given_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [str(arch) for arch, _ in zip(NasBench201(), range(4), strict=False)]
    pd.DataFrame({"architecture": cells, "accuracy": range(4)}).to_csv(tmp_path / "a.csv")
    settings = RankSettings(truth=tmp_path / "a.csv", proxies=("params",), sample=4)
    seen: list[Any] = []

    def stopped(*_: Any, limits: Limits | None = None, **__: Any) -> Any:
        seen.append(limits)
        raise hwnas.InvalidValueError("seen")

    monkeypatch.setattr("hwnas.rank_study.study.scored_sample", stopped)
    study = RankStudy.prepare(settings)
    for given in ({"limits": Limits(5.0)}, {}):
        with pytest.raises(hwnas.InvalidValueError, match="seen"):
            study.run(print, **given)  # type: ignore[arg-type]
    assert seen == [Limits(5.0), None]
