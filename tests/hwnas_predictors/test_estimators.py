from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from hwnas.costs.predictor_source import make_predictor
from hwnas.errors import DataFormatError, UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
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
    model = kind(space, "energy", "mJ", seed=3)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert copied.get_params()["metric"] == "energy"
    assert copied.set_params(seed=5) is copied
    assert (copied.seed, model.seed) == (5, 3)
    with pytest.raises(UnknownNameError, match="seeed"):
        model.set_params(seeed=1)


def test_a_file_that_lacks_something_is_refused_in_one_line(
    space: NasBench201, devices: SyntheticDevices
) -> None:
    model = TransferPredictor(space, sample=40).fit(devices.archs, devices.costs[:4])
    whole = model.to_file()
    for name in ("components", "variances", "noise"):
        arrays = {n: a for n, a in whole.arrays.items() if n != name}
        with pytest.raises(DataFormatError, match=name):
            make_predictor(replace(whole, arrays=arrays))
    with pytest.raises(DataFormatError, match="operations"):
        make_predictor(replace(whole, settings={"power": 0.75}))
    made: Any = make_predictor(whole)
    assert np.array_equal(made._prior.components, whole.arrays["components"])
