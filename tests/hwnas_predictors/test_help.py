from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.testing import PredictorContract
from hwnas.typing import FloatArray, Predictor
from hwnas_predictors import help as help_module
from hwnas_predictors.help import HelpPredictor
from tests.hwnas_predictors.conftest import SyntheticDevices

SMALL: dict[str, Any] = {"hidden": 32, "rounds": 150, "query": 64}


class TestContract(PredictorContract):
    @pytest.fixture
    def make_predictor(self, space: NasBench201) -> Callable[[], Predictor[Any]]:
        return lambda: HelpPredictor(space, hidden=16, rounds=80)


@pytest.fixture(scope="module")
def pool(space: NasBench201, devices: SyntheticDevices) -> HelpPredictor[Any]:
    model = HelpPredictor(space, references=devices.archs[:10], **SMALL)
    return model.fit(devices.archs, devices.costs[:10])


def error(model: HelpPredictor[Any], devices: SyntheticDevices, true: FloatArray) -> float:
    found = model.predict(devices.archs)
    return float(np.mean(np.log(found / true) ** 2))


def test_steps_on_the_new_device_lower_the_loss(
    pool: HelpPredictor[Any], devices: SyntheticDevices
) -> None:
    errors: dict[int, list[float]] = {0: [], pool.steps: []}
    support = devices.archs[:10]
    learned = pool.steps
    for steps, found in errors.items():
        pool.steps = steps
        for device in range(10, 14):
            model = pool.adapt(support, devices.costs[device, :10])
            found.append(error(model, devices, devices.true[device]))
    pool.steps = learned
    assert np.mean(errors[learned]) < np.mean(errors[0])


def test_ten_samples_rank_better_than_the_pool_s_mean(
    pool: HelpPredictor[Any], devices: SyntheticDevices
) -> None:
    mean = np.log(devices.costs[:10]).mean(axis=0)
    for device in range(10, 14):
        found = pool.adapt(devices.archs[:10], devices.costs[device, :10]).predict(devices.archs)
        true = devices.true[device]
        assert spearmanr(found, true).statistic > spearmanr(mean, true).statistic


def test_pool_is_saved_with_its_references(
    pool: HelpPredictor[Any], devices: SyntheticDevices, tmp_path: Path
) -> None:
    pool.save(tmp_path / "pool")
    loaded = HelpPredictor[Any].load(tmp_path / "pool")
    archs, costs = devices.archs[:10], devices.costs[11, :10]
    found = [model.adapt(archs, costs).predict(devices.archs) for model in (pool, loaded)]
    np.testing.assert_array_equal(found[0], found[1])


def test_unit_of_the_costs_does_not_matter(
    pool: HelpPredictor[Any], devices: SyntheticDevices
) -> None:
    archs, costs = devices.archs[:10], devices.costs[11, :10]
    found = [pool.adapt(archs, costs * k).predict(devices.archs) for k in (1, 1000)]
    np.testing.assert_allclose(1000 * found[0], found[1], rtol=1e-4)


def test_references_must_be_measured(pool: HelpPredictor[Any], devices: SyntheticDevices) -> None:
    with pytest.raises(InvalidValueError, match="every reference's cost, but 1 of 10 are"):
        pool.adapt(devices.archs[:9], devices.costs[11, :9])


@pytest.mark.parametrize("power", [-1.0, 1.0, 6.0])
def test_steps_never_raise_the_error_on_the_references(
    pool: HelpPredictor[Any], devices: SyntheticDevices, power: float
) -> None:
    # Devices that are unlike the pool: an ordering upside down, and costs far more apart.
    support, costs = devices.archs[:10], devices.costs[11, :10] ** power
    errors = []
    for steps in (0, 1, 3, 30):
        model = copy.copy(pool)
        model.steps = steps
        gaps = np.log(model.adapt(support, costs).predict(support) / costs)
        assert np.mean(gaps) == pytest.approx(0, abs=1e-3)
        errors.append(np.mean(gaps**2))
    assert np.diff(errors).max() < 1e-6
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize("power", [-1.0, 1.0, 6.0])
def test_more_than_the_references_are_learned_from(
    pool: HelpPredictor[Any], devices: SyntheticDevices, power: float
) -> None:
    true = devices.true[11] ** power
    costs = devices.costs[11] ** power
    errors = [error(pool.adapt(devices.archs[:n], costs[:n]), devices, true) for n in (10, 40, 200)]
    assert errors[1] < errors[0]
    assert errors[2] < 0.7 * errors[0]


def test_a_reference_that_is_listed_twice_needs_one_cost(
    pool: HelpPredictor[Any], devices: SyntheticDevices
) -> None:
    archs = [*devices.archs[:10], devices.archs[0]]
    costs = np.append(devices.costs[11, :10], np.nan)
    once = pool.adapt(archs[:10], costs[:10]).predict(devices.archs)
    np.testing.assert_array_equal(pool.adapt(archs, costs).predict(devices.archs), once)


def test_a_pool_needs_architectures_that_every_device_has(
    space: NasBench201, devices: SyntheticDevices
) -> None:
    costs = devices.costs[:2, :20].copy()
    costs[0, ::2] = costs[1, 1::2] = np.nan
    with pytest.raises(InvalidValueError, match="`references` must be architectures that every"):
        HelpPredictor(space, **SMALL).fit(devices.archs[:20], costs)


def test_a_failed_refit_keeps_pool_and_references(
    space: NasBench201, devices: SyntheticDevices
) -> None:
    model = HelpPredictor(space, hidden=8, rounds=2).fit(devices.archs[:40], devices.costs[:3, :40])
    asked = model.choose_support(12)
    found = model.adapt(devices.archs[:40], devices.costs[4, :40]).predict(devices.archs)
    with pytest.raises(UnknownNameError, match="macss"):
        model.set_params(extra=["macss"]).fit(devices.archs[40:80], devices.costs[:3, 40:80])
    assert model.choose_support(12) == asked
    again = model.adapt(devices.archs[:40], devices.costs[4, :40]).predict(devices.archs)
    np.testing.assert_array_equal(again, found)


def test_only_what_has_scores_is_asked_for(
    space: NasBench201, devices: SyntheticDevices, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {space.canonical_key(arch) for arch in devices.archs}
    scores = {"mine": {key: float(i) for i, key in enumerate(sorted(keys))}}
    model = HelpPredictor(space, hidden=8, rounds=2, extra=["mine"], scores=scores)
    model.fit(devices.archs, devices.costs[:3])
    asked = model.choose_support(20)
    assert len(set(asked)) == 20
    assert {space.canonical_key(arch) for arch in asked} <= keys
    few = {"mine": {space.canonical_key(a): float(i) for i, a in enumerate(devices.archs[:10])}}
    small = HelpPredictor(space, hidden=8, rounds=2, extra=["mine"], scores=few)
    small.fit(devices.archs[:10], devices.costs[:3, :10])
    monkeypatch.setattr(help_module, "_DRAWS", 1)  # 9,000 draws find no 9,000 cells of ten classes
    with pytest.raises(InvalidValueError, match="`n` must be at most"):
        small.choose_support(9000)


def test_learned_steps_are_over_the_references_alone(
    pool: HelpPredictor[Any], devices: SyntheticDevices, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, int]] = []
    descend = help_module.descend_safely

    def counted(weights: Any, rates: Any, features: Any, targets: Any, n: int) -> Any:
        steps.append((len(features), n))
        return descend(weights, rates, features, targets, n)

    monkeypatch.setattr(help_module, "descend_safely", counted)
    costs = devices.costs[11]
    pool.adapt(devices.archs[:25], costs[:25])
    assert steps == [(10, pool.steps), (25, 30)]
    steps.clear()
    # A reference that was measured twice is no further architecture.
    pool.adapt([*devices.archs[:10], devices.archs[0]], [*costs[:10], costs[0]])
    assert steps == [(10, pool.steps)]
