"""Files that the first build wrote, before modules moved and identities became data.

``tests/kept`` holds a front, an adapted predictor and the rows of a cache, as that build wrote
them. They are opened by every later one.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from hwnas.costs.source import make_cost
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import proxy_objective
from hwnas.pareto import ParetoSet
from hwnas.proxies import make_proxies
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import read_space
from hwnas.study.configuration import EvaluationSetup
from hwnas.study.settings import SearchSettings
from hwnas.tasks.catalogue import get_task

KEPT = Path(__file__).with_name("kept")
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def test_a_front_is_opened_with_its_space_and_settings() -> None:
    front = ParetoSet.load(KEPT / "front.json")
    space = read_space(front.space)
    assert space == NasBench201()
    assert [m.values for m in front.members] == [(615386.0, 2.088627), (372346.0, 1.290698)]
    assert [space.canonical_key(space.parse(m.arch)) for m in front.members] == [
        m.key for m in front.members
    ]
    settings = SearchSettings.from_identity(
        {k: v for k, v in front.provenance["settings"].items() if k != "trials"}
    )
    assert settings.costs == ("onnxruntime:cpu:latency",)
    assert settings.identity()["objectives"] == ["params"]


def test_a_predictor_predicts_what_it_did() -> None:
    space = NasBench201()
    cost = make_cost(f"predictor:{KEPT / 'predictor.npz'}", space, get_task("cifar10"))
    cell = space.parse(
        "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    )
    # As that build printed it.
    assert cost.predict([cell])[0] == pytest.approx(3.1642320986319312, rel=1e-6)
    assert (cost.unit, cost.device.device) == ("ms", "mine")


def test_a_cache_serves_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.sqlite"
    ResultCache(path).close()
    rows = json.loads((KEPT / "cache_rows.json").read_text(encoding="utf-8"))
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    monkeypatch.delattr(NasBench201, "build")  # nothing is computed again
    space = NasBench201()
    setup = EvaluationSetup(space, get_task("cifar10"), 8, 3)
    source = setup.proxies(make_proxies(["naswot", "snip"]))
    with ResultCache(path) as cache:
        objectives = [proxy_objective(source, name) for name in source.columns]
        (found,) = Evaluator(space, objectives, cache=cache).evaluate([space.parse(CELL)])
    assert found.values == {"naswot": rows[0][1], "snip": rows[1][1]}
