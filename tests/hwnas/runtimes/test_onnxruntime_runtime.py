"""ONNX Runtime: providers, sessions, inputs, and what it refuses."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes import onnxruntime_providers, onnxruntime_runtime
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import OnnxModel, Prepared, RunSettings, TorchNetwork
from hwnas.runtimes.lowering import to_float16
from hwnas.runtimes.onnx_facts import computed_in
from hwnas.runtimes.onnxruntime_providers import (
    available_providers,
    check_places,
    own_options,
    provider_name,
    provider_settings,
)
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime, activations_for
from hwnas.runtimes.onnxruntime_session import open_session, random_feeds
from hwnas.seeding import seeded
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


def test_a_model_whose_error_is_no_text_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    from onnx import TensorProto, helper

    sizes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", sizes[:1], sizes[1:])
    opset = helper.make_opsetid("", 17)
    content = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    with pytest.raises(InvalidValueError, match="can load with CPUExecutionProvider"):
        open_session(content.replace(b"Relu", b"Rel\xff"), "cpu")
    assert capfd.readouterr() == ("", "")


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

    def record(model: Any, provider: str, threads: int, spinning: bool, **more: Any) -> Any:
        opened.append(spinning)
        return open_session(model, provider, threads, spinning, **more)

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
    or_int8 = ", or int8" if name == "float32" else ""
    wrong = f"`precision` of an ONNX model.*{name}{or_int8}, but got 'bfloat16'"
    with pytest.raises(InvalidValueError, match=wrong):
        prepared(content, precision="bfloat16")
    if name != "float32":
        with pytest.raises(InvalidValueError, match=f"of a model in float32, .* is in {name}"):
            prepared(content, precision="int8")


def test_torch_network_in_a_precision_that_is_not_there() -> None:
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    with (
        pytest.raises(UnknownNameError, match="`precision of onnxruntime` must be one of float16"),
        RUNTIME.prepare(network, RunSettings(precision="float8")),
    ):
        pass


@pytest.mark.parametrize("number", [0, -1, 1.5])
def test_numbers_below_one_are_refused(number: Any) -> None:
    with pytest.raises(InvalidValueError, match="`threads` must be at least 1"):
        RunSettings(threads=number)
    with pytest.raises(InvalidValueError, match="`batch` must be at least 1"):
        RunSettings(batch=number)


with seeded(0):
    CELL = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(3, 1, 1),
        nn.Flatten(), nn.Linear(8 * 8 * 8, 5),
    )  # fmt: skip
NETWORK = TorchNetwork(CELL, (3, 8, 8))


def ran(**settings: Any) -> tuple[DeviceKey, Mapping[str, str], list[Any], float]:
    """Prepare the network; give key, facts, operators that ran, and the error."""
    with RUNTIME.prepare(NETWORK, RunSettings(**settings)) as executable:
        assert isinstance(executable, Prepared)
        error = agreement(executable, CELL).relative_error
        return executable.key, executable.facts, list(executable.examples), error


def test_int8_computes_in_int8_and_says_what_it_was_calibrated_with() -> None:
    key, facts, examples, error = ran(precision="int8", batch=3, seed=4)
    assert key == DeviceKey("cpu", f"onnxruntime-{RUNTIME.version()}", "int8", 3, 1)
    # As many batches of 3 as hold 32 images.
    assert [batch.shape for (batch,) in examples] == [(3, 3, 8, 8)] * 11
    assert facts["calibrated_with"] == "33 images, gaussian, seed 4"
    assert "Conv" not in facts.get("float32_operators", "")
    # Steps of 1/255 of a range are no float32, and no other network either.
    assert 1e-4 < error < 0.2


class Residual(nn.Module):
    """Two blocks whose input is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.head = nn.Linear(8 * 8 * 8, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.stem(images))
        for block in self.blocks:
            found = found + self.pool(block(found))
        return self.head(torch.flatten(found, 1))  # type: ignore[no-any-return]


def test_what_is_read_twice_is_computed_in_int8_too() -> None:
    """With int8 activations ONNX Runtime makes float32 of the operators beside it, on x86."""
    with seeded(0):
        module = Residual().eval()
    network = TorchNetwork(module, (3, 8, 8))
    content = export_onnx(module, network.input, batch=1).SerializeToString()
    for given in (network, OnnxModel(content)):
        with RUNTIME.prepare(given, RunSettings(precision="int8")) as executable:
            assert isinstance(executable, Prepared)
            assert executable.key.precision == "int8"
            assert "float32_operators" not in executable.facts
            assert agreement(executable, module).relative_error < 0.2


def test_activations_are_unsigned_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    monkeypatch.setattr(onnxruntime_providers, "available_providers", lambda: both)
    assert activations_for("cpu") == activations_for("CPUExecutionProvider") == "unsigned"
    assert activations_for("cuda") == "signed"
    assert RUNTIME.written(RunSettings(precision="int8")) == "unsigned activations"
    assert RUNTIME.written(RunSettings("cuda", precision="int8")) == ""
    assert RUNTIME.written(RunSettings()) == ""


class Branches(nn.Module):
    """Joins two branches along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined: torch.Tensor = self.last(torch.cat([self.left(x), self.right(x)], 1))
        return joined


def test_what_follows_a_join_in_int8_is_not_told_to_be_in_float() -> None:
    network = TorchNetwork(Branches().eval(), (3, 8, 8))
    with RUNTIME.prepare(network, RunSettings(precision="int8")) as executable:
        assert isinstance(executable, Prepared)
        assert "float32_operators" not in executable.facts


def test_operators_that_stay_in_float_are_in_the_key_and_do() -> None:
    kept = (("float_operators", "Gemm+AveragePool"),)
    key, facts, _, _ = ran(precision="int8", options=kept)
    assert key.runtime.endswith("[float_operators=AveragePool+Gemm]")
    assert {"1 AveragePool", "1 Gemm"} <= set(facts["float32_operators"].split(", "))
    with pytest.raises(InvalidValueError, match="`float_operators` must be given with precision=i"):
        ran(options=kept)
    for wrong in ("Convv", "none+Conv"):
        with pytest.raises(UnknownNameError, match="`float_operators of onnxruntime` must be one"):
            ran(precision="int8", options=(("float_operators", wrong),))


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [("AveragePool", "1 QLinearAveragePool"), ("Conv", None), ("AveragePool+Conv", None)],
)
def test_operators_that_run_in_int8_in_spite_of_it_are_refused(
    kept: str, wrong: str | None
) -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 8, 3))
    network = TorchNetwork(nn.Sequential(body, nn.Flatten(), nn.Linear(128, 2)).eval(), (3, 8, 8))
    settings = RunSettings(precision="int8", options=(("float_operators", kept),))
    refused = pytest.raises(InvalidValueError, match=f"ONNX Runtime computes {wrong} in int8, as")
    with nullcontext() if wrong is None else refused, RUNTIME.prepare(network, settings):
        pass


@pytest.mark.parametrize(("kept", "wrong"), [("AveragePool", True), ("Conv", False)])
def test_what_another_provider_may_run_in_int8_in_spite_of_it_is_refused(
    kept: str, wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU stands in for a provider that does not tell in what it computes."""
    both = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    monkeypatch.setattr(onnxruntime_providers, "available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime_runtime, "open_session", lambda m, *_, **__: open_session(m))
    monkeypatch.setattr(onnxruntime_runtime, "check_places", lambda *_: {})
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 8, 3))
    network = TorchNetwork(nn.Sequential(body, nn.Flatten(), nn.Linear(128, 2)).eval(), (3, 8, 8))
    settings = RunSettings("cuda", precision="int8", options=(("float_operators", kept),))
    refused = pytest.raises(InvalidValueError, match=f"cuda may compute {kept} in int8, as all")
    with refused if wrong else nullcontext(), RUNTIME.prepare(network, settings):
        pass


def test_what_int8_is_calibrated_with_decides_its_steps(tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    # Images a thousand times as small: Gaussian ones are cut off by their scales.
    images = np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype(np.float32) / 1e3
    np.savez(own, images=images)
    _, facts, examples, error = ran(precision="int8", images=str(own))
    assert facts["calibrated_with"] == f"32 images, {own}"
    np.testing.assert_array_equal(np.concatenate([e for (e,) in examples]), images[:32])
    assert error < 0.1
    with RUNTIME.prepare(NETWORK, RunSettings(precision="int8", images=str(own))) as executable:
        np.testing.assert_array_equal(executable.inputs[0], images[:1])
        small, large = (executable.outputs(x)[0] for x in (images[:1], 1e6 * images[:1]))
    assert np.abs(large - small).max() < 0.1
    np.savez(own, images=images.transpose(0, 2, 3, 1))
    told = r"`images` must have the shape \(3, 8, 8\) of .*own.npz have \(8, 8, 3\)"
    with pytest.raises(InvalidValueError, match=told):
        ran(precision="int8", images=str(own))


def test_a_precision_without_kernels_is_refused_not_computed_in_another() -> None:
    half = to_float16(export_onnx(CELL, (3, 8, 8)))
    kinds = {tensor.data_type for tensor in half.graph.initializer}
    assert TensorProto.FLOAT16 in kinds
    assert TensorProto.FLOAT not in kinds
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    if platform.machine() in ("x86_64", "AMD64"):
        with pytest.raises(InvalidValueError, match="of float16 it makes float32 on this CPU"):
            ran(precision="fp16")
    with pytest.raises(UnknownNameError, match="must be one of float16, float32, int8"):
        ran(precision="bf16")


def node(kind: str, first: str, output: str, **more: Any) -> onnx.NodeProto:
    return helper.make_node(kind, [first], [output], **more)


def test_formats_follow_from_inputs_casts_and_scales() -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("QuantizeLinear", "a", "b"),
        node("MaxPool", "b", "c", kernel_shape=[1]),
        node("Reshape", "c", "d"),
        node("DequantizeLinear", "d", "e"),
        node("Cast", "e", "f", to=TensorProto.BFLOAT16),
        node("Relu", "f", "g"),
        node("Sigmoid", "g", "y"),
    ]
    found = computed_in(graph_of([("x", TensorProto.FLOAT, [1, 4])], nodes))
    assert found == {
        "float32": {"Relu": 1}, "int8": {"MaxPool": 1}, "bfloat16": {"Relu": 1, "Sigmoid": 1},
    }  # fmt: skip


def places(**of: list[str]) -> Any:
    parts = [
        SimpleNamespace(
            ep_name=f"{name}ExecutionProvider",
            get_nodes=lambda kinds=kinds: [SimpleNamespace(op_type=kind) for kind in kinds],
        )
        for name, kinds in of.items()
    ]
    return SimpleNamespace(get_provider_graph_assignment_info=lambda: parts)


@pytest.fixture
def _providers(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    names = [f"{name}ExecutionProvider" for name in ("CUDA", "OpenVINO", "XNNPACK", "CPU")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


@pytest.mark.usefixtures("_providers")
def test_nodes_on_another_provider_are_no_measurement() -> None:
    whole = places(CUDA=["Conv", "Relu"])
    partly = places(CUDA=["Conv", "Relu", "Conv"], CPU=["TopK"])
    assert check_places(whole, "cuda", allowed=False) == {}
    with pytest.raises(InvalidValueError, match=r"25 % of them run elsewhere \(1 TopK on CPUExec"):
        check_places(partly, "cuda", allowed=False)
    assert check_places(partly, "cuda", allowed=True) == {
        "fallback_share": "0.25", "fallback_nodes": "1 TopK on CPUExecutionProvider",
    }  # fmt: skip
    assert check_places(partly, "cpu", allowed=False) == {}
    old = SimpleNamespace()
    with pytest.raises(InvalidValueError, match=r"is older than 1\.24"):
        check_places(old, "cuda", allowed=False)
    assert check_places(old, "cuda", allowed=True) == {"fallback_share": "unknown"}


@pytest.mark.usefixtures("_providers")
def test_options_of_providers() -> None:
    # TF32 is no float32.
    assert provider_settings("cuda", 1)["use_tf32"] == "0"
    assert provider_settings("openvino", 3) == {"device_type": "CPU", "num_of_threads": "3"}
    assert provider_settings("xnnpack", 2) == {"intra_op_num_threads": "2"}
    assert provider_settings("cpu", 2) == {}
    assert own_options("cuda", {"use_tf32": "1", "spinning": "on"}) == {"use_tf32": "1"}
    with pytest.raises(InvalidValueError, match="`use_tf32` must be given with the provider cuda"):
        own_options("openvino", {"use_tf32": "1"})
    graphics = RunSettings("openvino", options=(("device_type", "GPU"),))
    assert RUNTIME.place(graphics).resource == "openvino-GPU"


def test_the_session_of_this_installation_tells_every_place() -> None:
    from hwnas.runtimes.onnxruntime_providers import RECORD_PLACES

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*RECORD_PLACES)
    model = export_onnx(CELL, (3, 8, 8)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.get_provider_graph_assignment_info()
    kinds = [node.op_type for part in found for node in part.get_nodes()]
    assert {part.ep_name for part in found} == {"CPUExecutionProvider"}
    assert {"Conv", "AveragePool", "Gemm"} <= set(kinds)
