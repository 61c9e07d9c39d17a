from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.files.predictor_file import PredictorFile, read_predictor_file
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.testing import PredictorContract
from hwnas.typing import DeviceKey, FloatArray, Predictor, SearchSpace
from hwnas_predictors.transfer import TransferPredictor
from tests.hwnas_predictors.conftest import SyntheticDevices

POOL = slice(0, 10)
_CONVS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NEW = range(10, 14)


class TestContract(PredictorContract):
    @pytest.fixture
    def make_predictor(self, space: NasBench201) -> Callable[[], Predictor[Any]]:
        return lambda: TransferPredictor(space)


@pytest.fixture(scope="module")
def pool(space: NasBench201, devices: SyntheticDevices) -> TransferPredictor[Any]:
    return TransferPredictor(space, sample=80).fit(devices.archs, devices.costs[POOL])


@pytest.fixture(scope="module")
def support(pool: TransferPredictor[Any], devices: SyntheticDevices) -> list[int]:
    chosen = pool.choose_support(10, archs=devices.archs)
    return [devices.archs.index(arch) for arch in chosen]


def adapted(
    pool: TransferPredictor[Any], devices: SyntheticDevices, device: int, support: list[int]
) -> TransferPredictor[Any]:
    return pool.adapt([devices.archs[i] for i in support], devices.costs[device, support])


def test_ten_samples_of_a_new_device_rank_all(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    for device in NEW:
        found = adapted(pool, devices, device, support).predict(devices.archs)
        assert spearmanr(found, devices.true[device]).statistic > 0.97


def test_the_pool_helps(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    archs = [devices.archs[i] for i in support]
    for device in NEW:
        alone = TransferPredictor(pool.space).fit(archs, devices.costs[device, support])
        errors = [
            np.mean((p.predict(devices.archs) - devices.true[device]) ** 2)
            for p in (adapted(pool, devices, device, support), alone)
        ]
        assert errors[0] < errors[1]


def test_90_percent_intervals_cover_90_percent(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    covered, within = [], []
    rng = np.random.default_rng(0)
    for device in NEW:
        for _ in range(5):
            chosen = rng.choice(len(devices.archs), 15, replace=False).tolist()
            model = adapted(pool, devices, device, chosen)
            low, high = model.predict_interval(devices.archs).T
            cost = devices.costs[device]
            covered.append(np.mean((low <= cost) & (cost <= high)))
            mean, std = model.predict(devices.archs, return_std=True)
            within.append(np.mean(np.abs(cost - mean) <= 1.645 * std))
    assert 0.85 <= np.mean(covered) <= 0.95
    assert 0.85 <= np.mean(within) <= 0.97


def test_scale_of_a_device_is_the_scale_of_its_predictions(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    archs, costs = [devices.archs[i] for i in support], devices.costs[11, support]
    one, thousand = pool.adapt(archs, costs), pool.adapt(archs, 1000 * costs)
    for a, b in zip(
        one.predict(devices.archs, return_std=True),
        thousand.predict(devices.archs, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(1000 * a, b, rtol=1e-9)


def test_more_samples_more_certainty(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    stds = [adapted(pool, devices, 12, list(range(s))).predict_std(devices.archs) for s in (6, 100)]
    assert stds[1].mean() < stds[0].mean()


def test_support_is_chosen_before_any_measurement_and_repeats(
    pool: TransferPredictor[Any],
) -> None:
    first = pool.choose_support(8, seed=3)
    assert first == pool.choose_support(8, seed=3)
    assert first != pool.choose_support(8, seed=4)
    assert first[:5] == pool.choose_support(5, seed=3)
    assert len(set(first)) == 8
    assert all(pool.space.is_valid(arch) for arch in first)


def test_chosen_support_beats_random_support(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    rng = np.random.default_rng(5)
    chance = [rng.choice(len(devices.archs), 10, replace=False).tolist() for _ in range(5)]
    assert adapted(pool, devices, 13, support).predict_std(devices.archs).mean() < np.mean(
        [adapted(pool, devices, 13, s).predict_std(devices.archs).mean() for s in chance]
    )


def test_missing_costs_are_left_out(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    archs, costs = devices.archs[:12], devices.costs[10, :12].copy()
    costs[[2, 7]] = np.nan
    kept = [i for i in range(12) if i not in (2, 7)]
    expected = pool.adapt([archs[i] for i in kept], costs[kept]).predict(devices.archs)
    np.testing.assert_allclose(pool.adapt(archs, costs).predict(devices.archs), expected)


def test_file_keeps_pool_and_device(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int], tmp_path: Path
) -> None:
    key = DeviceKey("mine", "tflite-2.21", "int8", 1, 4)
    archs = [devices.archs[i] for i in support]
    model = pool.adapt(archs, devices.costs[10, support], key)
    model.save(tmp_path / "mine.npz")
    loaded: TransferPredictor[Any] = TransferPredictor.load(tmp_path / "mine.npz")
    assert replace(loaded.device, dead_operations=None) == key
    assert loaded.device == model.device
    np.testing.assert_array_equal(loaded.predict_std(archs), model.predict_std(archs))
    again = loaded.adapt(archs, devices.costs[11, support]).predict(archs)
    np.testing.assert_allclose(again, pool.adapt(archs, devices.costs[11, support]).predict(archs))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"space": "NasBench201(channels=32, cells=5)"}, "`space` must be 'NasBench201("),
        ({"unit": "mJ"}, "`unit` must be 'ms'"),
        ({"runtime": "tflite"}, "`runtime` must be 'unknown'"),
    ],
)
def test_file_refuses_what_it_is_not_for(
    pool: TransferPredictor[Any], tmp_path: Path, given: dict[str, str], text: str
) -> None:
    pool.save(tmp_path / "pool.npz")
    file = read_predictor_file(tmp_path / "pool.npz")
    file.require(space=repr(pool.space), unit="ms")
    with pytest.raises(InvalidValueError, match=re.escape(text)):
        file.require(**given)


def test_file_of_another_kind_or_with_objects_is_refused(
    pool: TransferPredictor[Any], tmp_path: Path
) -> None:
    pool.save(tmp_path / "pool.npz")
    content = read_predictor_file(tmp_path / "pool.npz")
    PredictorFile("gcn", content.facts, {}, {}).write(tmp_path / "gcn.npz")
    with pytest.raises(DataFormatError, match="kind 'transfer', but holds 'gcn'"):
        TransferPredictor.load(tmp_path / "gcn.npz")
    np.savez(tmp_path / "objects.npz", header=np.array([{}], dtype=object))
    with pytest.raises(DataFormatError, match="damaged or something else"):
        TransferPredictor.load(tmp_path / "objects.npz")


@pytest.mark.parametrize("costs", [[1.0], [1.0, -2.0, 3.0], [1.0, np.nan, np.nan], [np.inf, 1, 2]])
def test_useless_measurements_are_refused(
    pool: TransferPredictor[Any], devices: SyntheticDevices, costs: list[float]
) -> None:
    with pytest.raises(InvalidValueError, match="`costs` must"):
        pool.adapt(devices.archs[: len(costs)], costs)


def test_a_pool_alone_predicts_nothing(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    with pytest.raises(InvalidValueError, match="`adapt` must be called"):
        pool.predict(devices.archs)


# Logarithms, power 0, would not add up as these costs do.
@pytest.mark.parametrize("power", [0.75, 1.0])
def test_a_single_device_without_noise_is_learned(
    space: NasBench201, devices: SyntheticDevices, power: float
) -> None:
    cost = devices.true[0]
    predictor = TransferPredictor(space, power=power).fit(devices.archs[:150], cost[:150])
    found = predictor.predict(devices.archs[150:])
    assert np.abs(found / cost[150:] - 1).max() < 0.1


def test_a_single_device_is_no_pool(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    archs = [devices.archs[i] for i in support]
    alone = TransferPredictor(pool.space).fit(archs, devices.costs[0, support])
    assert alone.device.device == "measured"
    alone.fit(devices.archs, devices.costs[POOL])
    assert alone.device == DeviceKey("any")


def pruned_costs(space: SearchSpace[Any], archs: list[Any]) -> FloatArray:
    """Give costs that add up over the operations of the network without dead ones."""
    live = [space.representative(arch).operations for arch in archs]
    return np.array([2 + o.count("nor_conv_3x3") + 0.4 * o.count("nor_conv_1x1") for o in live])


def test_costs_decide_what_was_done_with_dead_operations(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    """The pool's devices executed them; one that prunes is found out by twelve random cells."""
    costs = pruned_costs(pool.space, devices.archs)
    model = pool.adapt(devices.archs[:12], costs[:12])
    assert model.device.dead_operations == "pruned"
    assert spearmanr(model.predict(devices.archs), costs).statistic > 0.97
    assert adapted(pool, devices, 10, list(range(12))).device.dead_operations == "executed"
    # What the user says counts.
    told = DeviceKey("mine", dead_operations="executed")
    assert pool.adapt(devices.archs[:12], costs[:12], told).device == told


def test_equal_networks_cost_the_same_where_dead_operations_are_pruned(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    space = pool.space
    dead = [arch for arch in devices.archs if not arch.is_live()]
    same = [space.representative(arch) for arch in dead]
    key = DeviceKey("mine", dead_operations="pruned")
    model = pool.adapt(devices.archs[:12], pruned_costs(space, devices.archs[:12]), key)
    for one, other in zip(
        model.predict(dead, return_std=True), model.predict(same, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert (adapted(pool, devices, 10, list(range(12))).predict(dead) != model.predict(dead)).any()


def test_support_without_dead_operations(pool: TransferPredictor[Any]) -> None:
    assert not all(arch.is_live() for arch in pool.choose_support(12))
    chosen = pool.choose_support(12, dead_operations="pruned")
    assert all(arch.is_live() for arch in chosen)
    assert len({pool.space.canonical_key(arch) for arch in chosen}) == 12


def test_support_is_chosen_by_what_the_pool_teaches_where_dead_operations_are_pruned(
    pool: TransferPredictor[Any],
) -> None:
    """With the components and without them, and by none of the broad sets of variances."""
    _, prior = pool._require_prior()

    def chosen(sets: int) -> list[Any]:
        made = copy.copy(pool)
        made._prior = replace(prior, scales=prior.scales[:sets])
        return made.choose_support(10, dead_operations="pruned")

    assert chosen(len(prior.scales)) == chosen(2)
    assert chosen(1) != chosen(2)


def test_a_pool_that_is_unlike_the_device_is_not_trusted(
    space: NasBench201, devices: SyntheticDevices
) -> None:
    """The pool says that 3x3 convolutions cost all; on the device poolings do."""
    counts = np.array([[a.operations.count(o) for o in _CONVS] for a in devices.archs])
    rng = np.random.default_rng(0)
    noise = np.exp(0.02 * rng.normal(size=(6, len(counts))))
    rows = (3 + np.outer(rng.uniform(0.5, 2, 6), counts @ [1.0, 0.1, 0.0])) * noise
    unlike = TransferPredictor(space, sample=80).fit(devices.archs, rows)
    cost = (3 + counts @ [0.1, 0.0, 1.0]) * np.exp(0.02 * rng.normal(size=len(counts)))
    found = unlike.adapt(devices.archs[:20], cost[:20]).predict(devices.archs)
    ridge = RidgeCV(np.logspace(-3, 3, 13)).fit(counts[:20], np.log(cost[:20]))
    wanted = spearmanr(ridge.predict(counts), cost).statistic
    assert spearmanr(found, cost).statistic > wanted - 0.01


def test_costs_that_were_learned_from_are_told(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int], tmp_path: Path
) -> None:
    archs, costs = [devices.archs[i] for i in support], devices.costs[10, support].copy()
    costs[3] = np.nan
    model = pool.adapt(archs, costs)
    wanted = [i != 3 for i in range(len(archs))]
    assert model.learned_from(archs).tolist() == wanted
    model.save(tmp_path / "m.npz")
    loaded: TransferPredictor[Any] = TransferPredictor.load(tmp_path / "m.npz")
    assert loaded.learned_from(archs).tolist() == wanted
    assert not pool.learned_from(archs).any()
    left = model.left_out
    assert left is not None
    assert np.isfinite(left).tolist() == wanted
    errors = np.abs(left[wanted] / costs[wanted] - 1)
    assert 0 < np.median(errors) < 0.15


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_levels_are_probabilities(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int], level: float
) -> None:
    model = adapted(pool, devices, 10, support)
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        model.predict_interval(devices.archs[:2], level)


def test_further_measurements_are_learned_as_if_all_had_come_at_once(
    pool: TransferPredictor[Any], devices: SyntheticDevices, support: list[int]
) -> None:
    model = adapted(pool, devices, 11, support)
    more = [i for i in range(40) if i not in support]
    rest = devices.archs[40:]
    model.predict(rest)  # and is not what is predicted afterwards
    better = model.observe([devices.archs[i] for i in more], devices.costs[11, more])
    once = pool.adapt(
        [devices.archs[i] for i in (*support, *more)], devices.costs[11, [*support, *more]]
    )
    errors = [
        np.mean(np.abs(m.predict(rest) / devices.true[11, 40:] - 1)) for m in (model, better, once)
    ]
    assert errors[1] < errors[0]
    assert errors[1] == pytest.approx(errors[2], abs=0.005)
    # Noise levels that the first measurements ruled out stay ruled out.
    assert better.predict_std(rest).mean() == pytest.approx(once.predict_std(rest).mean(), rel=0.2)
    assert better.learned_from([devices.archs[i] for i in (*support, *more)]).all()
    assert not model.learned_from([devices.archs[i] for i in more]).any()
    with pytest.raises(InvalidValueError, match="`adapt` must be called before"):
        pool.observe(devices.archs[:2], devices.costs[11, :2])


def test_files_of_before_have_no_variances_of_devices_that_prune(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    file = pool.to_file()
    assert file.arrays["of_pruned"].any()
    arrays = {name: array for name, array in file.arrays.items() if name != "of_pruned"}
    loaded = TransferPredictor[Any].from_file(replace(file, arrays=arrays))
    archs = devices.archs[:12]
    model = loaded.adapt(archs, devices.costs[3, :12])
    assert np.isfinite(model.predict(archs)).all()
    bad = {**arrays, "of_pruned": np.array([True])}
    with pytest.raises(ValueError, match="prune dead operations are"):
        TransferPredictor[Any].from_file(replace(file, arrays=bad))
    bad = {**arrays, "of_pruned": np.ones_like(file.arrays["of_pruned"])}
    with pytest.raises(ValueError, match="trust the pool are of pruned networks alone"):
        TransferPredictor[Any].from_file(replace(file, arrays=bad))


def test_what_is_left_to_run_adds_up_and_files_of_before_keep_their_power(
    pool: TransferPredictor[Any], devices: SyntheticDevices
) -> None:
    file = pool.to_file()
    settings = {name: value for name, value in file.settings.items() if name != "pruned_power"}
    before = TransferPredictor[Any].from_file(replace(file, settings=settings))
    assert before.pruned_power == before.power == pool.power < pool.pruned_power == 1
    costs = pruned_costs(pool.space, devices.archs)
    key = DeviceKey("mine", dead_operations="pruned")
    bent, straight = (
        np.abs(p.adapt(devices.archs[:12], costs[:12], key).predict(devices.archs) / costs - 1)
        for p in (before, pool)
    )
    assert straight.mean() < 0.8 * bent.mean()
