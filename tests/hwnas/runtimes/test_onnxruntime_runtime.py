"""ONNX Runtime: providers, sessions, inputs, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.runtimes.onnxruntime_session import (
    available_providers,
    open_session,
    provider_name,
    random_feeds,
)
from hwnas.testing import RuntimeContract
from hwnas.typing import DeviceKey

Inputs = Sequence[tuple[str, int, Sequence[int | str]]]
RUNTIME = OnnxRuntime()


class TestOnnxRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> OnnxRuntime:
        return RUNTIME


def graph_of(inputs: Inputs, nodes: list[onnx.NodeProto], weights: Any = ()) -> bytes:
    """Make a model whose output ``y`` is a float vector."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def small() -> bytes:
    return bytes(export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8)).SerializeToString())


def prepared(content: Any, in_shape: Any = None, **settings: Any) -> DeviceKey:
    """Prepare and run an ONNX model; give what ran."""
    with RUNTIME.prepare(OnnxModel(content, in_shape), RunSettings(**settings)) as executable:
        executable.outputs()
        executable.run()
        return executable.key


def test_absent_provider_is_refused_with_those_there_are(small: bytes) -> None:
    with pytest.raises(UnknownNameError, match=r"`provider` must be one of .*cpu.*'quantum'"):
        prepared(small, device="quantum")
    with pytest.raises(UnknownNameError):
        RUNTIME.place(RunSettings("quantum"))
    assert provider_name("CPUExecutionProvider") == provider_name("cpu") == "CPUExecutionProvider"
    assert RUNTIME.devices() == list(available_providers())
    assert RUNTIME.devices()[0] == "cpu"
    assert "azure" not in RUNTIME.devices()


def test_provider_that_falls_back_is_refused(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class FellBack:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    import onnxruntime

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_a, **_k: FellBack())
    with pytest.raises(InvalidValueError, match="fell back to CPUExecutionProvider"):
        open_session(small, "cuda")


def test_gpu_and_cpu_are_different_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    names = [f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "OpenVINO", "CPU")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    resources = {name: RUNTIME.place(RunSettings(name)).resource for name in RUNTIME.devices()}
    assert resources == {
        "cpu": "this-cpu", "openvino": "this-cpu", "tensorrt": "gpu0", "cuda": "gpu0",
    }  # fmt: skip
    assert RUNTIME.place(RunSettings("cpu")).own_thread
    assert not RUNTIME.place(RunSettings("cpu", threads=2)).own_thread
    assert not RUNTIME.place(RunSettings("openvino")).own_thread


def test_spinning_is_an_option(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []

    def record(model: Any, provider: str, threads: int, spinning: bool) -> Any:
        opened.append(spinning)
        return open_session(model, provider, threads, spinning)

    monkeypatch.setattr("hwnas.runtimes.onnxruntime_runtime.open_session", record)
    prepared(small)
    prepared(small, options=(("spinning", "on"),))
    prepared(small, options=(("spinning", "off"),))
    assert opened == [True, True, False]
    with pytest.raises(UnknownNameError, match="`spinning of onnxruntime` must be one of off, on"):
        prepared(small, options=(("spinning", "perhaps"),))
    with pytest.raises(UnknownNameError, match="Did you mean 'spinning'"):
        prepared(small, options=(("spining", "on"),))


@pytest.mark.parametrize("settings", [{"batch": 2}, {"in_shape": (3, 9, 9)}])
def test_settings_that_contradict_the_model_are_refused(
    small: bytes, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError, match="must fit input 'input'"):
        prepared(small, **settings)


def test_files_that_are_no_models_get_one_clear_line(tmp_path: Path) -> None:
    for content in (b"", b"no model"):
        path = tmp_path / "broken.onnx"
        path.write_bytes(content)
        with pytest.raises(InvalidValueError, match=r"ONNX Runtime .* can load"):
            prepared(path)
    with pytest.raises(InvalidValueError, match="there is no file"):
        prepared(tmp_path / "absent.onnx")


def test_several_inputs_of_any_type_and_free_dimensions() -> None:
    nodes = [
        helper.make_node("Cast", ["i"], ["fi"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["b"], ["fb"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["x", "fi", "fb"], ["y"]),
    ]
    model = graph_of(
        [
            ("x", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            ("i", TensorProto.INT64, ["n", 1, 1, 1]),
            ("b", TensorProto.BOOL, [1]),
        ],
        nodes,
    )
    feeds = random_feeds(open_session(model), 2, (3, 4, 5), seed=1)
    assert {n: (a.shape, a.dtype.name) for n, a in feeds.items()} == {
        "x": ((2, 3, 4, 5), "float32"), "i": ((2, 1, 1, 1), "int64"), "b": ((1,), "bool"),
    }  # fmt: skip
    assert set(np.unique(feeds["i"])) <= {0, 1}
    again = random_feeds(open_session(model), 2, (3, 4, 5), seed=1)
    assert all(np.array_equal(feeds[n], again[n]) for n in feeds)
    with pytest.raises(InvalidValueError, match="free dimensions of input 'x'"):
        prepared(model)


def test_free_and_fixed_batches() -> None:
    free = export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8), dynamic_batch=True)
    fixed = export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8), batch=5)
    assert prepared(free).batch == 1
    assert prepared(free, batch=7).batch == 7
    assert prepared(fixed).batch == 5


def test_a_model_without_inputs_is_refused_in_one_line() -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [-1.0, 1.0])
    with pytest.raises(InvalidValueError, match=r"^`onnx` must have an input"):
        prepared(graph_of([], [helper.make_node("Relu", ["w"], ["y"])], [weight]))


def test_model_that_fails_while_it_runs_gets_one_clear_line() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs: Inputs = [("x", TensorProto.FLOAT, ["n", 3]), ("w", TensorProto.FLOAT, ["k", 4])]
    # The free dimension of w becomes the batch, which must be 3 to fit.
    assert prepared(graph_of(inputs, nodes), batch=3).batch == 3
    with pytest.raises(InvalidValueError, match="must run on random inputs"):
        prepared(graph_of(inputs, nodes), batch=2)


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.float32, "float32"), (np.float16, "float16"), (np.float64, "float64")]
)
def test_precision_of_a_model_is_that_of_most_of_its_weights(dtype: Any, name: str) -> None:
    weights = [
        numpy_helper.from_array(np.ones((3, 4), dtype), "w"),
        numpy_helper.from_array(np.ones(2, np.float32), "unused"),
    ]
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    content = graph_of([("x", TensorProto.FLOAT, [1, 3])], nodes, weights)
    assert prepared(content).precision == name
    assert prepared(content, precision=name).precision == name
    with pytest.raises(InvalidValueError, match=f"`precision` of an ONNX model.*{name}.*'int8'"):
        prepared(content, precision="int8")


def test_torch_network_in_a_precision_that_is_not_there() -> None:
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    with (
        pytest.raises(UnknownNameError, match="`precision of onnxruntime` must be one of float32"),
        RUNTIME.prepare(network, RunSettings(precision="float8")),
    ):
        pass


@pytest.mark.parametrize("number", [0, -1, 1.5])
def test_numbers_below_one_are_refused(number: Any) -> None:
    with pytest.raises(InvalidValueError, match="`threads` must be at least 1"):
        RunSettings(threads=number)
    with pytest.raises(InvalidValueError, match="`batch` must be at least 1"):
        RunSettings(batch=number)
