"""Predictor files that declare what they do not hold: refused on opening, within a memory bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.costs.predictor_source import make_predictor
from hwnas.errors import DataFormatError
from hwnas.files.predictor_file import PredictorFile, read_predictor_file
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import DeviceKey
from hwnas_predictors.brp_nas import GcnPredictor, MlpPredictor
from hwnas_predictors.device_predictor import DevicePredictor
from hwnas_predictors.help import HelpPredictor
from hwnas_predictors.transfer import TransferPredictor

SPACE = NasBench201()
ARCHS = [SPACE.sample(np.random.default_rng(i)) for i in range(12)]
COSTS = np.linspace(1.0, 2.0, 12)


def adapted() -> DevicePredictor[Any]:
    return TransferPredictor.shipped(SPACE).adapt(ARCHS, COSTS, DeviceKey("mine"))


MAKE: dict[str, Callable[[], DevicePredictor[Any]]] = {
    "transfer": adapted,
    "brp-nas": lambda: GcnPredictor(SPACE, hidden=4, layers=2, epochs=1).fit(ARCHS, COSTS),
    "mlp": lambda: MlpPredictor(SPACE, hidden=4, layers=2, epochs=1).fit(ARCHS, COSTS),
    "help": lambda: HelpPredictor(SPACE, hidden=4, rounds=1).fit(ARCHS, np.stack([COSTS, COSTS])),
}


@pytest.fixture(scope="module", params=list(MAKE))
def content(request: pytest.FixtureRequest) -> PredictorFile:
    return MAKE[request.param]().to_file()


def opened(path: Path, content: PredictorFile) -> Any:
    content.write(path)
    return make_predictor(read_predictor_file(path))


def test_whole_files_open(tmp_path: Path, content: PredictorFile) -> None:
    assert opened(tmp_path / "p.npz", content).kind == content.kind


def test_each_array_counts(tmp_path: Path, content: PredictorFile) -> None:
    for name, array in content.arrays.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        nan = array.copy()
        nan.flat[0] = np.nan
        for wrong in (nan, array[..., None].repeat(2, -1), array.astype(np.str_)):
            with pytest.raises(DataFormatError):
                opened(tmp_path / "p.npz", replace(content, arrays={**content.arrays, name: wrong}))
        rest = {n: a for n, a in content.arrays.items() if n != name}
        if not name.startswith("posterior_"):
            with pytest.raises(DataFormatError):
                opened(tmp_path / "p.npz", replace(content, arrays=rest))


@pytest.mark.parametrize("size", [10**9, -1, 2.5, "many", None])
def test_declared_sizes_are_those_of_the_weights(
    tmp_path: Path, content: PredictorFile, size: Any
) -> None:
    for name in {"hidden", "layers"} & set(content.settings):
        wrong = replace(content, settings={**content.settings, name: size})
        with pytest.raises(DataFormatError):
            opened(tmp_path / "p.npz", wrong)


@pytest.mark.parametrize(
    "changed",
    [{"unit": "kg"}, {"unit": 3}, {"direction": "up"}, {"metric": None}, {"data": 1},
     {"device": DeviceKey("mine", batch=0)}, {"device": DeviceKey("mine", batch=True)}],
    ids=str,
)  # fmt: skip
def test_wrong_facts_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    content = TransferPredictor.shipped(SPACE).to_file()
    wrong = replace(content, facts=replace(content.facts, **changed))
    with pytest.raises(DataFormatError, match=r"its unit|its direction|no text|its batch"):
        opened(tmp_path / "p.npz", wrong)
