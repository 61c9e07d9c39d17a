"""The pools that come with the package hold what was learned, and nothing that was published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hwnas_predictors.shipped as shipped
from hwnas.data.device_pool import cell_pool
from hwnas.errors import DataNotFoundError
from hwnas.files.predictor_file import read_predictor_file
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.testing import draw
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.beliefs import pool_views
from hwnas_predictors.encodings import counter_columns
from hwnas_predictors.features import ArchFeatures
from hwnas_predictors.power_transform import transform
from hwnas_predictors.shipped import shipped_pool
from hwnas_predictors.transfer import TransferPredictor

FILES = sorted(Path(shipped.__file__).parent.glob("*.npz"))
COMPONENTS = 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pool_has_no_table_of_latencies(path: Path) -> None:
    assert path.stat().st_size < 50_000
    file = read_predictor_file(path, "transfer")
    # Device by device there is nothing: at most six components of all features, a mean of each
    # block of features, a few numbers of scales and noise, and no device that was adapted to.
    features, components = file.arrays["components"].shape
    assert components <= COMPONENTS
    # What begins with `extra_` are counts of the networks, which no device says.
    numbers = sum(a.size for name, a in file.arrays.items() if not name.startswith("extra_"))
    assert numbers <= features * (COMPONENTS + 2) + 100
    assert not any(name.startswith("posterior") for name in file.arrays)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pool_says_what_it_is(path: Path) -> None:
    facts = read_predictor_file(path).facts
    assert (facts.metric, facts.unit, facts.device.device) == ("latency", "ms", "any")
    source, space, checksum = facts.data.split()
    sources = "HELP+BRP-NAS" if path.stem == "nasbench201" else "HELP"
    assert (source, space) == (sources, path.stem)
    assert len(checksum) == 64
    assert np.isfinite(read_predictor_file(path).arrays["components"]).all()


@pytest.mark.usefixtures("data_folder")
def test_what_a_device_ran_is_read_off_its_costs() -> None:
    # HELP's devices executed dead operations, BRP-NAS's pruned them.
    pool = cell_pool()
    drawn = np.random.default_rng(0).permutation(len(pool.archs))[:600]
    archs, features = [pool.archs[i] for i in drawn], ArchFeatures(pool.space)
    views = {view: features.blocks(archs, view) for view in features.views}
    costs = pool.costs[:, drawn]
    targets = transform(costs / np.nanmean(costs, axis=1, keepdims=True), 0.75)
    dead = np.array([features.has_dead([arch]) for arch in archs])
    found = pool_views(views, targets, dead, [None] * len(costs), seed=0)
    assert found == tuple(key.dead_operations for key in pool.devices)
    assert set(found) == {"executed", "pruned"}


def test_counts_of_the_fbnet_pool_are_those_of_its_networks() -> None:
    space, dataset = FBNet(), get_task("cifar100")
    pool = TransferPredictor.shipped(space)
    assert pool.dataset == dataset.name
    assert set(pool.extra) == {"macs", "params", "layers"}
    archs, columns = draw(space, 4), pool._extra
    assert columns is not None
    counts = np.exp(counter_columns(space, archs, dataset, columns.counts) - columns.centres)
    wanted = (counts**pool.power - 1) / pool.power / columns.spreads
    np.testing.assert_allclose(columns(archs), wanted, rtol=1e-6, atol=1e-9)


def test_a_runtime_that_merges_equal_branches() -> None:
    """Pools take nearly all of the time there, as of int8 in some runtimes; equal ones run once.

    Convolutions have weights of their own and are never equal.
    """
    space = NasBench201()
    pool = TransferPredictor.shipped(space)
    cells = [cell for cell in draw(space, 200) if cell.is_live()]
    features = ArchFeatures(space)

    def latency(archs: list[Cell]) -> FloatArray:
        _, ran, _, graph, *_ = features.blocks(archs, "pruned")
        ran[:, 0] = graph[:, features.graph_names.index("merged avg_pool_3x3")]
        cost: FloatArray = 0.15 + ran @ [1.0, 0.05, 0.25, 0.05]
        return cost

    support = pool.choose_support(10)
    key = DeviceKey("mine", dead_operations="pruned")
    mine = pool.adapt(support, latency(support), key)
    off = np.abs(mine.predict(cells) / latency(cells) - 1)
    assert np.mean(off <= 0.1) > 0.97


def test_a_space_without_a_pool_is_refused() -> None:
    class Other(NasBench201):
        name = "other"

        def __post_init__(self) -> None:
            object.__setattr__(self, "name", "other")

    with pytest.raises(DataNotFoundError, match="train one with `hwnas predict train`"):
        shipped_pool(Other())
