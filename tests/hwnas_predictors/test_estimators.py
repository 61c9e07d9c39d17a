from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from hwnas.costs.predictor_source import make_predictor
from hwnas.errors import DataFormatError, InvalidValueError, UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import DeviceKey
from hwnas_predictors.binary_relation import BinaryRelationPredictor
from hwnas_predictors.brp_nas import GcnPredictor, MlpPredictor
from hwnas_predictors.help import HelpPredictor
from hwnas_predictors.transfer import TransferPredictor
from tests.hwnas_predictors.conftest import SyntheticDevices

KINDS = (TransferPredictor, HelpPredictor, GcnPredictor, MlpPredictor, BinaryRelationPredictor)


@pytest.mark.parametrize("kind", KINDS)
def test_estimators_are_cloned_and_changed_as_those_of_scikit_learn(
    kind: Any, space: NasBench201
) -> None:
    scores = {"mine": {"a": 1.0}}
    extra = {"extra": ("macs", "mine"), "dataset": "cifar100", "scores": scores}
    model = kind(space, "energy", "mJ", seed=3, **extra)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert copied.get_params()["metric"] == "energy"
    assert {name: copied.get_params()[name] for name in extra} == extra
    assert copied.set_params(seed=5) is copied
    assert (copied.seed, model.seed) == (5, 3)
    with pytest.raises(UnknownNameError, match="seeed"):
        model.set_params(seeed=1)


def test_a_file_that_lacks_something_is_refused_in_one_line(
    space: NasBench201, devices: SyntheticDevices
) -> None:
    model = TransferPredictor(space, sample=40).fit(devices.archs, devices.costs[:4])
    whole = model.to_file()
    for name in ("components", "variances", "noise", "mean_1"):
        arrays = {n: a for n, a in whole.arrays.items() if n != name}
        with pytest.raises(DataFormatError, match=name):
            make_predictor(replace(whole, arrays=arrays))
    with pytest.raises(DataFormatError, match="operations"):
        make_predictor(replace(whole, settings={"power": 0.75}))
    settings = {n: v for n, v in whole.settings.items() if n != "seed"}
    with pytest.raises(DataFormatError, match="seed"):
        make_predictor(replace(whole, settings=settings))
    adapted = model.adapt(devices.archs[:9], devices.costs[5, :9]).to_file()
    for name in ("centre", "posterior_0_basis"):
        arrays = {n: a for n, a in adapted.arrays.items() if n != name}
        with pytest.raises(DataFormatError, match=name.removeprefix("posterior_0_")):
            make_predictor(replace(adapted, arrays=arrays))
    # A device without any posterior is no pool.
    with pytest.raises(DataFormatError):
        make_predictor(replace(adapted, arrays=whole.arrays))
    made: Any = make_predictor(whole)
    assert np.array_equal(made._prior.components, whole.arrays["components"])


def test_a_damaged_file_is_one_line_for_load_too(
    space: NasBench201, devices: SyntheticDevices, tmp_path: Path
) -> None:
    model = MlpPredictor(space, epochs=1).fit(devices.archs[:5], devices.costs[0, :5])
    whole = model.to_file()
    arrays = {n: a for n, a in whole.arrays.items() if n != "target"}
    replace(whole, arrays=arrays).write(tmp_path / "p.npz")
    with pytest.raises(DataFormatError, match="target"):
        MlpPredictor.load(tmp_path / "p.npz")


@pytest.mark.parametrize("kind", [HelpPredictor, GcnPredictor, MlpPredictor])
def test_standard_deviations_are_refused_by_name(kind: Any, space: NasBench201) -> None:
    with pytest.raises(InvalidValueError, match=f"{kind.__name__} gives costs alone"):
        kind(space).predict([], return_std=True)


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        ([1.0, 2.0, -3.0, 4.0], "-3.0 at 2"),
        ([1.0, 2.0, np.inf, 4.0], "inf at 2"),
        ([1.0, np.nan, np.nan, np.nan], "got 1 and 3 missing"),
        (["a", "b", "c", "d"], "must be numbers"),
        ([[1.0, 2.0], [1.0]], "as many for every device"),
        ([1.0, 2.0], r"\(4,\), but got \(2,\)"),
        (np.zeros((0, 4)), r"must hold values, but has the shape \(0, 4\)"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_costs_are_named(kind: Any, space: NasBench201, costs: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        kind(space).fit(list(space)[:4], costs)


def test_a_relation_is_of_one_device(space: NasBench201) -> None:
    model = BinaryRelationPredictor(space, hidden=4, layers=1, epochs=1)
    assert model.fit(list(space)[:4], [1.0, 2.0, 3.0, 4.0]).device.device == "measured"


@pytest.mark.parametrize("kind", [TransferPredictor, HelpPredictor])
def test_a_device_is_not_called_as_pools_are(
    kind: Any, space: NasBench201, devices: SyntheticDevices
) -> None:
    settings = {"rounds": 2} if kind is HelpPredictor else {}
    pool = kind(space, **settings).fit(devices.archs[:40], devices.costs[:3, :40])
    with pytest.raises(InvalidValueError, match="marks a pool"):
        pool.adapt(devices.archs[:40], devices.costs[4, :40], DeviceKey("any"))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (TransferPredictor, {"power": 0.75, "extra": ["macs"]}, {"power": 0.0}),
        (HelpPredictor, {"hidden": 8, "rounds": 2}, {"hidden": 9}),
        (GcnPredictor, {"hidden": 8, "epochs": 1}, {"hidden": 9}),
        (MlpPredictor, {"hidden": 8, "epochs": 1}, {"layers": 2}),
    ],
)
def test_a_file_holds_the_settings_that_were_learned_with(
    kind: Any, before: Any, after: Any, space: NasBench201, devices: SyntheticDevices,
    tmp_path: Path,
) -> None:  # fmt: skip
    archs, costs = devices.archs[:30], devices.costs[0, :30]
    model = kind(space, **before).fit(archs, costs)
    found = model.predict(archs)
    model.set_params(**after).save(tmp_path / "p.npz")
    loaded = kind.load(tmp_path / "p.npz")
    assert {name: loaded.get_params()[name] for name in before} == before
    np.testing.assert_array_equal(loaded.predict(archs), found)
