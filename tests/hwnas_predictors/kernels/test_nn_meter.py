from __future__ import annotations

import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    InvalidValueError,
    MissingDependencyError,
    UnknownNameError,
)
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract
from hwnas_predictors.kernels.nn_meter_cost import NnMeterCost
from hwnas_predictors.kernels.nn_meter_data import (
    configuration,
    fit_kernel_data,
    read_kernel_data,
)
from hwnas_predictors.kernels.nn_meter_files import Forest, read_predictors
from hwnas_predictors.kernels.predictor import Family

CONV = {"HW": 14, "CIN": 98, "COUT": 120, "KERNEL_SIZE": 3, "STRIDES": 2}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_forest_is_evaluated_as_by_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, new = rng.random((80, 4)), rng.random((20, 4))
    forest = RandomForestRegressor(8, random_state=0).fit(x, np.sin(5 * x[:, 0]) + x[:, 1])
    (tmp_path / "conv.pkl").write_bytes(pickle.dumps(forest))
    found = Forest(tmp_path / "conv.pkl").predict(new)
    np.testing.assert_allclose(found, np.asarray(forest.predict(new), dtype=np.float64))


def test_other_pickles_are_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conv.pkl").write_bytes(b"\x80\x02cos\nsystem\n(S'echo run >&2'\ntR.")
    with pytest.raises(DataFormatError, match=r"names os\.system, which is not admitted"):
        Forest(tmp_path / "conv.pkl")
    assert "run" not in capsys.readouterr().err


def test_damaged_forests_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((80, 4))
    forest = RandomForestRegressor(1, random_state=0).fit(x, x[:, 0])
    whole = pickle.dumps(forest, 4)
    nodes = forest.estimators_[0].tree_.__getstate__()["nodes"]
    assert whole.count(nodes.tobytes()) == 1
    for name, value in {"left_child": 0, "right_child": 10**6, "feature": 9}.items():
        wrong = nodes.copy()
        wrong[name][0] = value
        path = tmp_path / "conv.pkl"
        path.write_bytes(whole.replace(nodes.tobytes(), wrong.tobytes()))
        with pytest.raises(DataFormatError, match="random forest of a kernel"):
            Forest(path)
    path.write_bytes(whole)
    with pytest.raises(DataFormatError, match="4 features"):
        Forest(path).predict(np.zeros((2, 3)))


def test_absent_files_are_named_with_their_address(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"fc\.pkl, fusion_rules\.json are absent: fetch "
                       r"https://github\.com/microsoft/nn-Meter/.*/phone\.zip"):  # fmt: skip
        read_predictors(tmp_path / "phone", ["fc"])


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nn_meter", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hwnas\[nn-meter\]'"):
        NnMeterCost("cortexA76cpu_tflite21", Family(NasBench201(), get_task("cifar10")))


def test_configurations_are_translated() -> None:
    conv = configuration("conv-bn-relu", CONV)
    assert (conv.height, conv.out_height, conv.c_in, conv.c_out) == (14, 7, 98, 120)
    assert conv.flops == 2 * 120 * 98 * 9 * 7 * 7
    assert conv.activation == "Relu"
    depthwise = configuration("dwconv-bn-relu6", {**CONV, "COUT": 98})
    assert (depthwise.groups, depthwise.activation) == (98, "Clip")
    assert depthwise.flops == 2 * 98 * 9 * 7 * 7
    assert configuration("fc", {"CIN": 10, "COUT": 5}).flops == 2 * 50
    assert configuration("concat", {"HW": 7, "CIN1": 8, "CIN2": 4}).c_in == 12
    assert configuration("global-avgpool", {"HW": 7, "CIN": 8}).out_elements == 8


def test_two_files_are_joined_by_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    configs: dict[str, Any] = {f"id_{i}": {"config": {**CONV, "COUT": int(c)}, "model": "…"}
               for i, c in enumerate(rng.integers(8, 200, 40))}  # fmt: skip
    latency = {i: {"latency": f"{entry['config']['COUT'] / 100} +- 0.1"}
               for i, entry in configs.items()}  # fmt: skip
    latency["id_99"] = {"latency": "1.0 +- 0.1"}
    files = [
        write(tmp_path / "conv-bn-relu_prior.json", {"conv-bn-relu": configs}),
        write(tmp_path / "profiled_conv-bn-relu.json", {"conv-bn-relu": latency}),
    ]
    data = read_kernel_data(files)
    assert [(c.c_out / 100, ms) for c, ms in data["conv-bn-relu"]] == [
        (ms, ms) for _, ms in data["conv-bn-relu"]
    ]
    assert len(data["conv-bn-relu"]) == 40
    assert fit_kernel_data(data)["conv-bn-relu"].within_10_percent > 0.9


@pytest.mark.parametrize("content", ["[]", "{", '{"fc": {"id_0": {"latency": "1 +- 0"}}}'])
def test_other_layouts_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(DataFormatError):
        read_kernel_data([file])


class _FakePredictor:
    """nn-Meter's class at its boundary: the sum of a forest's predictions over convolutions."""

    def __init__(self, predictors: Any, rules: str) -> None:
        assert json.loads(Path(rules).read_text()) == {}
        self.predictors = predictors

    def predict(self, network: Any, kind: str) -> float:
        assert kind == "onnx"
        shapes = {weight.name: list(weight.dims) for weight in network.graph.initializer}
        rows = [shapes[n.input[1]] for n in network.graph.node if n.op_type == "Conv"]
        assert "conv-bn-relu" in self.predictors
        return float(self.predictors["conv-bn-relu"].predict(rows).sum())


@pytest.fixture
def nn_meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand in for the package and for a device's files; gives the folder of devices."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 65, size=(200, 4)).astype(float)
    forest = RandomForestRegressor(4, random_state=0).fit(sizes, 1e-4 * sizes[:, 0] * sizes[:, 1])
    folder = tmp_path / "predictor" / "phone_lite21"
    folder.mkdir(parents=True)
    (folder / "conv-bn-relu.pkl").write_bytes(pickle.dumps(forest))
    write(folder / "fusion_rules.json", {})
    known = [{"name": "phone_lite21", "kernel_predictors": ["conv-bn-relu"]}]
    contents: dict[str, dict[str, Any]] = {
        "nn_meter": {},
        "nn_meter.predictor": {},
        "nn_meter.predictor.nn_meter_predictor": {
            "list_latency_predictors": lambda: known,
            "nnMeterPredictor": _FakePredictor,
        },
        "nn_meter.utils": {"get_user_data_folder": lambda: str(tmp_path)},
    }
    for name, content in contents.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return folder.parent


class TestContract(CostModelContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return NasBench201(channels=4, cells=1)

    @pytest.fixture
    def cost(self, nn_meter: Path, space: NasBench201) -> NnMeterCost[Any]:
        family = Family(space, get_task("cifar10"))
        assert NnMeterCost("phone_lite21", family).device.runtime == "lite21"
        return NnMeterCost("phone_lite21", family, nn_meter)


def test_unknown_devices_and_kernels_are_named(nn_meter: Path) -> None:
    family = Family(NasBench201(channels=4, cells=1), get_task("cifar10"))
    with pytest.raises(UnknownNameError, match="Did you mean 'phone_lite21'"):
        NnMeterCost("phone_lite20", family, nn_meter)
    cost = NnMeterCost("phone_lite21", family, nn_meter)
    with pytest.raises(InvalidValueError, match="but got 'fc'"):
        _ = "fc" in cost._predictor.predictors
