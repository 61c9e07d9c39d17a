from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from hwnas.costs.source import make_cost
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.evaluated_problem import problem_of
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract
from hwnas.typing import DeviceKey
from hwnas_predictors.kernels.fused_graph import find_kernels
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.predictor import KernelPredictor
from hwnas_predictors.transfer import TransferPredictor
from tests.hwnas_predictors.kernels.conftest import (
    CIFAR10,
    SMALL,
    network,
    per_byte,
)


class TestKernelPredictorAsACost(CostModelContract):
    samples = 3

    @pytest.fixture
    def space(self) -> NasBench201:
        return SMALL

    @pytest.fixture
    def cost(self, predictor: KernelPredictor[Any]) -> KernelPredictor[Any]:
        return predictor


def test_latency_is_overhead_plus_the_sum_over_kernels(predictor: KernelPredictor[Any]) -> None:
    model = network(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["a", "v"], ["y"], pads=[1, 1, 1, 1]),
        ],
        {"w": (16, 16, 3, 3), "v": (16, 16, 3, 3)},
    )
    kinds = sorted({k.kind for k in find_kernels(model)})
    two = replace(predictor, regressors={kind: per_byte(2.0) for kind in kinds})
    read_and_written = sum(k.configuration.bytes for k in find_kernels(model))
    assert two.predict_model(model) == pytest.approx(
        0.25 + 0.01 * len(find_kernels(model)) + 1.5 * 2e-6 * read_and_written
    )
    image = 4 * 16 * 12 * 10
    assert read_and_written >= 2 * (2 * image + 4 * 16 * 16 * 9)


def test_spread_and_interval_follow_the_prediction(predictor: KernelPredictor[Any]) -> None:
    archs = [SMALL.sample(np.random.default_rng(i)) for i in (1, 2)]
    values, stds = predictor.predict(archs, return_std=True)
    np.testing.assert_allclose(stds, 0.05 * values)
    np.testing.assert_allclose(predictor.predict_std(archs), stds)
    low, high = predictor.predict_interval(archs, 0.9).T
    np.testing.assert_allclose((high - low) / stds, 2 * 1.6448536, rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_levels_are_probabilities(predictor: KernelPredictor[Any], level: float) -> None:
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        predictor.predict_interval([SMALL.sample(np.random.default_rng(1))], level)


def test_saved_predictor_is_the_same(predictor: KernelPredictor[Any], tmp_path: Path) -> None:
    predictor.save(tmp_path / "cpu.npz")
    loaded = KernelPredictor.load(tmp_path / "cpu.npz")
    archs = [SMALL.sample(np.random.default_rng(4))]
    np.testing.assert_array_equal(loaded.predict(archs), predictor.predict(archs))
    assert repr(loaded) == repr(predictor)
    assert (loaded.device, loaded.block) == (predictor.device, predictor.block)
    anything = replace(predictor, family=None, relative_std=float("nan"))
    anything.save(tmp_path / "any.npz")
    with pytest.raises(InvalidValueError, match="`family` must be given"):
        KernelPredictor.load(tmp_path / "any.npz").predict(archs)


def test_a_file_for_any_network_is_a_cost_of_the_space_and_data_set_that_is_searched(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    for family, name in ((None, "any"), (predictor.family, "one")):
        replace(predictor, family=family).save(tmp_path / name)
    small = get_task("ImageNet16-120")
    archs = [SMALL.sample(np.random.default_rng(4))]
    for name in ("any", "one"):
        cost = make_cost(f"predictor:{tmp_path / name}", SMALL, small)
        # A quarter of the pixels.
        assert cost.predict(archs)[0] < predictor.predict(archs)[0]
    deeper = NasBench201(channels=8, cells=2)
    assert make_cost(f"predictor:{tmp_path / 'any'}", deeper, CIFAR10).predict(archs)[0] > 0
    with pytest.raises(InvalidValueError, match="`space` must be"):
        make_cost(f"predictor:{tmp_path / 'one'}", deeper, CIFAR10)


def test_a_search_asks_for_the_networks_that_it_evaluates_alone(
    predictor: KernelPredictor[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    predict = KernelPredictor.predict_kernels

    def counted(self: KernelPredictor[Any], kernels: Sequence[Kernel]) -> float:
        asked.append(len(kernels))
        return predict(self, kernels)

    monkeypatch.setattr(KernelPredictor, "predict_kernels", counted)
    evaluator = Evaluator(SMALL, [cost_objective(SMALL, predictor)])
    # A table would be known for the whole space before the first proposal.
    knowledge = problem_of(evaluator).knowledge
    assert knowledge is not None
    assert not knowledge.known_losses
    arch = SMALL.sample(np.random.default_rng(3))
    (found,) = evaluator.evaluate([arch])
    assert found.values["cpu_latency_ms"] == pytest.approx(predictor.predict([arch])[0])
    assert 0 < len(asked) < 5


@pytest.mark.parametrize(
    ("runtime", "precision", "old"),
    [
        ("openvino", "float32", True),
        ("openvino", "int8", True),
        ("onnxruntime", "int8", True),
        ("onnxruntime", "float32", False),
        ("litert", "int8", False),
    ],
)
def test_a_file_whose_kernels_were_read_otherwise_is_to_be_built_again(
    predictor: KernelPredictor[Any], runtime: str, precision: str, old: bool
) -> None:
    device = DeviceKey("cpu", f"{runtime}-1.0", threads=1, precision=precision)
    file = replace(predictor, device=device).to_file()
    assert KernelPredictor.from_file(file).device == device
    settings = {name: value for name, value in file.settings.items() if name != "reading"}
    before = replace(file, settings=settings)
    if old:
        with pytest.raises(DataFormatError, match=rf"build it again .* --runtime {runtime} --prec"):
            KernelPredictor.from_file(before)
    else:
        assert KernelPredictor.from_file(before).device == device


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataFormatError, match="must be a predictor file"):
        KernelPredictor.load(tmp_path / "file")


def test_other_uses_are_refused(predictor: KernelPredictor[Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"`threads` must be 1, .*got 4"):
        predictor.require(threads=4)
    with pytest.raises(InvalidValueError, match=r"`runtime` must be 'onnxruntime-.*got 'tensorrt'"):
        predictor.require(runtime="tensorrt")
    relu = network([helper.make_node("Relu", ["x"], ["y"])], {})
    old = replace(predictor, device=DeviceKey("cpu", "onnxruntime-1.0.0", threads=1))
    with pytest.raises(InvalidValueError, match=r"`runtime` must be 'onnxruntime-1\.0\.0'"):
        old.predict_model(relu)
    with pytest.raises(InvalidValueError, match="`cpu` must compute blocks of 3 channels"):
        replace(predictor, block=3).predict_model(relu)
    pair = network([helper.make_node("Relu", ["x"], ["y"])], {}, image=(2, 16, 4, 4))
    with pytest.raises(InvalidValueError, match=r"`batch` must be 1, .*2 images"):
        predictor.predict_model(pair)
    sine = network([helper.make_node("Sin", ["x"], ["y"])], {})
    with pytest.raises(InvalidValueError, match=r"kernels that were measured, but got sin: .*onnx"):
        predictor.predict_model(sine)


def test_kernels_are_a_feature_of_a_device_that_few_networks_ran_on(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    """Another device that is slower by a factor; the file holds both predictors."""
    rng = np.random.default_rng(5)
    archs = list(dict.fromkeys(SMALL.sample(rng) for _ in range(14)))
    costs = 3.0 * predictor.predict(archs)
    key = DeviceKey("board", dead_operations="pruned")
    empty = TransferPredictor[Any].without_pool(SMALL)
    model = empty.adapt(archs[:5], costs[:5], key, predictor)
    assert model.follows > 0.5
    assert model.effort == predictor.effort
    np.testing.assert_allclose(model.predict(archs[5:]), costs[5:], rtol=0.1)
    model.save(tmp_path / "board.npz")
    again = TransferPredictor[Any].load(tmp_path / "board.npz")
    np.testing.assert_allclose(again.predict(archs[5:]), model.predict(archs[5:]))
