"""Costs of any space, told by what its networks do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from torch import nn

from hwnas.errors import HwnasError
from hwnas.evaluation.sources import Effort
from hwnas.files.predictor_columns import join, read_columns
from hwnas.networks.work import work_of
from hwnas.spaces import space_text
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.networks import Networks
from hwnas.typing import FloatArray
from hwnas_predictors.network_columns import NetworkColumns
from hwnas_predictors.transfer import TransferPredictor


def build(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 16, step=2)
    kernel = trial.suggest_categorical("kernel", [1, 3, 5])
    before, layers = 1, []
    for _ in range(trial.suggest_int("depth", 1, 4)):
        layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 3))


@pytest.fixture(scope="module")
def space() -> FunctionSpace:
    made = FunctionSpace(build, input=(1, 8, 8), classes=3, target="their_nets:build")
    space_text.keep(made)
    return made


@pytest.fixture(scope="module")
def pool(space: FunctionSpace) -> TransferPredictor[Any]:
    return TransferPredictor.without_pool(space)


@pytest.fixture(scope="module")
def archs(space: FunctionSpace) -> list[Any]:
    return list(space.members(100) or [])


@pytest.fixture(scope="module")
def costs(space: FunctionSpace, archs: list[Any]) -> FloatArray:
    """Give milliseconds that add up over work, at other rates for each kind."""
    rates = {"conv 1x1": 9e-6, "conv 3x3": 4e-6, "conv 5x5": 3e-6}
    found = []
    for arch in archs:
        network = Networks(space, space.default_task).network(arch, seed=0)
        parts = work_of(network, space.default_task.input).by_kind.items()
        found.append(sum(rates.get(k, 0) * s.macs + 1e-6 * s.bytes + 0.02 for k, s in parts))
    return np.array(found) * np.exp(0.02 * np.random.default_rng(3).normal(size=len(archs)))


def test_ten_measurements_rank_a_space_of_ones_own(
    pool: TransferPredictor[Any], archs: list[Any], costs: FloatArray
) -> None:
    chosen = pool.choose_support(10, archs=archs)
    rows = [archs.index(arch) for arch in chosen]
    model = pool.adapt(chosen, costs[rows])
    rest = np.setdiff1d(np.arange(len(archs)), rows)
    others = [archs[i] for i in rest]
    predicted = model.predict(others)
    assert spearmanr(predicted, costs[rest]).statistic > 0.97
    assert np.mean(np.abs(predicted / costs[rest] - 1) <= 0.1) > 0.6
    low, high = model.predict_interval(others, 0.9).T
    assert np.mean((low <= costs[rest]) & (costs[rest] <= high)) > 0.7
    assert model.effort is Effort.SCORE


def test_a_file_predicts_the_same(
    pool: TransferPredictor[Any], archs: list[Any], costs: FloatArray, tmp_path: Path
) -> None:
    model = pool.adapt(archs[:10], costs[:10])
    model.save(tmp_path / "mine.npz")
    loaded = TransferPredictor[Any].load(tmp_path / "mine.npz")
    np.testing.assert_allclose(loaded.predict(archs), model.predict(archs))
    assert loaded.network


def test_files_within_a_file_predict_the_same(
    pool: TransferPredictor[Any], archs: list[Any], costs: FloatArray, tmp_path: Path
) -> None:
    """Names of kinds of work are texts; within a file they were taken for damage."""
    latency = pool.adapt(archs[:10], costs[:10])
    energy = pool.adapt(archs[:5], 3 * costs[:5], companion=latency)
    energy.save(tmp_path / "beside.npz")
    loaded = TransferPredictor[Any].load(tmp_path / "beside.npz")
    np.testing.assert_allclose(loaded.predict(archs), energy.predict(archs))
    columns = {"latency_ms": latency.to_file(), "energy_mj": energy.to_file()}
    join(columns).write(tmp_path / "both.npz")
    for name, file in read_columns(tmp_path / "both.npz").items():
        found = TransferPredictor[Any].from_file(file)
        expected = {"latency_ms": latency, "energy_mj": energy}[name].predict(archs)
        np.testing.assert_allclose(found.predict(archs), expected)


def test_a_single_device_is_learned_from_what_networks_do(
    space: FunctionSpace, archs: list[Any], costs: FloatArray
) -> None:
    rows = np.random.default_rng(0).choice(len(archs), 12, replace=False).tolist()
    few = TransferPredictor[Any](space, network=True, dataset="1x8x8:3")
    few.fit([archs[i] for i in rows], costs[rows])
    choices = TransferPredictor[Any](space, dataset="1x8x8:3")
    choices.fit([archs[i] for i in rows], costs[rows])
    ranks = [spearmanr(model.predict(archs), costs).statistic for model in (few, choices)]
    assert ranks[0] > 0.95
    assert ranks[0] > ranks[1]


def test_columns_are_shares_of_the_mean(space: FunctionSpace, archs: list[Any]) -> None:
    columns = NetworkColumns.fit(space, space.default_task, archs, power=1.0)
    totals, kinds = columns(archs)
    np.testing.assert_allclose(totals.mean(axis=0), 0.0, atol=1e-3)  # power 1: x - 1
    by_part = kinds.reshape(len(archs), -1, 3).sum(axis=1)
    np.testing.assert_allclose(by_part, totals[:, :3] + 1, atol=1e-3)
    assert columns.kind_names[0] == "macs of conv 1x1"


def test_a_kind_that_was_not_met_is_among_the_others(space: FunctionSpace) -> None:
    plain = [a for a in space.members(100) or [] if dict(a.chosen)["kernel"] == 1]
    other = next(a for a in space.members(100) or [] if dict(a.chosen)["kernel"] == 5)
    columns = NetworkColumns.fit(space, space.default_task, plain, power=1.0)
    row = dict(zip(columns.kind_names, columns([other])[1][0], strict=True))
    assert row["macs of conv 1x1"] == 0
    assert row["macs of others"] > 0


def test_networks_of_ones_own_are_built_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom torch import nn\n"
        "class Trap(nn.Flatten):\n"
        "    def forward(self, x):\n"
        "        os._exit(7)\n"
        "def build(trial):\n"
        "    return nn.Sequential(Trap(), nn.Linear(4, trial.suggest_int('w', 2, 3)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    deadly = importlib.import_module("deadly")

    made = FunctionSpace(deadly.build, input=(1, 2, 2), classes=3, target="deadly:build")
    space_text.keep(made)
    with pytest.raises(HwnasError, match="ended its process"):
        TransferPredictor.without_pool(made)
