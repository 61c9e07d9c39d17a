"""OpenVINO as a runtime."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.agreement import agreement, compared
from hwnas.runtimes.base import (
    OnnxModel,
    Place,
    Prepared,
    RunSettings,
    TorchNetwork,
    written,
)
from hwnas.seeding import seeded
from hwnas.testing import RuntimeContract

pytest.importorskip("openvino", reason="needs the extra openvino")

from hwnas.runtimes import openvino_runtime

if TYPE_CHECKING:
    from hwnas.runtimes.openvino_runtime import OpenVino
else:
    OpenVino = openvino_runtime.OpenVino

RUNTIME = OpenVino()
with seeded(0):
    CELL = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(3, 1, 1),
        nn.Flatten(), nn.Linear(8 * 8 * 8, 5),
    )  # fmt: skip
NETWORK = TorchNetwork(CELL, (3, 8, 8))


class TestOpenVino(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> OpenVino:
        return RUNTIME


def test_float32_is_asked_for_and_what_computed_is_read() -> None:
    with RUNTIME.prepare(NETWORK, RunSettings()) as executable:
        assert isinstance(executable, Prepared)
        assert (executable.key.precision, executable.facts) == ("float32", {})
        # bfloat16, OpenVINO's own choice on some CPUs, is off by more.
        assert agreement(executable, CELL).relative_error < 1e-5


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("int8", 0.05)])
def test_circular_pads_are_joined_slices(precision: str, most: float) -> None:
    with seeded(0):
        network = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
    settings = RunSettings(precision=precision)
    with RUNTIME.prepare(TorchNetwork(network, (3, 8, 8)), settings) as executable:
        assert agreement(executable, network).relative_error < most


def test_an_operator_that_its_reader_lacks_is_named() -> None:
    shape = [1, 4, 4]
    given, answer = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
                     for n, s in (("x", shape), ("y", [1])))  # fmt: skip
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"])], "det", [given], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    network = OnnxModel(model.SerializeToString())
    with (
        pytest.raises(InvalidValueError, match=r"says: No conversion rule found .*: Det-18$"),
        RUNTIME.prepare(network, RunSettings(precision=None)),
    ):
        pass


def test_int8_is_computed_in_int8() -> None:
    kept = (("float_operators", "Conv"),)
    with RUNTIME.prepare(NETWORK, RunSettings(precision="int8", batch=2)) as executable:
        assert isinstance(executable, Prepared)
        assert "Convolution" not in executable.facts.get("float32_operators", "")
        assert executable.facts["calibrated_with"] == "32 images, gaussian, seed 0"
        found = agreement(executable, CELL)
        # With zero points the padding of the average pool would be wrong: .6 to .8.
        assert 1e-4 < found.relative_error < 0.1
        assert found.correlation > 0.99
    with RUNTIME.prepare(NETWORK, RunSettings(precision="int8", options=kept)) as executable:
        assert isinstance(executable, Prepared)
        assert "1 Convolution" in executable.facts["float32_operators"]
        assert executable.key.runtime.endswith("[float_operators=Conv]")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_compute_in_them_or_are_refused(precision: str) -> None:
    try:
        with RUNTIME.prepare(NETWORK, RunSettings(precision=precision)) as executable:
            assert 1e-5 < agreement(executable, CELL).relative_error < 0.1
    except InvalidValueError as error:
        assert "OpenVINO computes in here" in str(error)  # noqa: PT017


def compiled(*layers: tuple[str, str]) -> Any:
    def text(value: str) -> Any:
        return SimpleNamespace(astype=lambda _: value)

    made = [
        SimpleNamespace(
            get_rt_info=lambda k=kind, p=precision: {
                "layerType": text(k), "runtimePrecision": text(p),
            }
        )
        for kind, precision in layers
    ]  # fmt: skip
    return SimpleNamespace(get_runtime_model=lambda: SimpleNamespace(get_ops=lambda: made))


def test_layers_in_other_formats() -> None:
    formats = openvino_runtime._formats
    weights = ("Const", "bf16")
    assert formats(compiled(weights, ("Convolution", "f32")), "float32") == {}
    with pytest.raises(InvalidValueError, match="of float32 it makes bfloat16: 1 Convolution"):
        formats(compiled(("Convolution", "bf16"), ("Pooling", "f32")), "float32")
    with pytest.raises(InvalidValueError, match="of bfloat16 it makes float32: 2 Convolution"):
        formats(compiled(("Convolution", "f32"), ("Convolution", "f32")), "bfloat16")
    mixed = compiled(("Convolution", "u8"), ("Pooling", "i8"), ("Eltwise", "f32"))
    assert formats(mixed, "int8") == {"float32_operators": "1 Eltwise"}


def test_a_half_precision_is_no_other_one() -> None:
    """A float16 file whose last layer alone, a conversion, is in float16 was taken for one."""
    of_a_file = compiled(("Convolution", "bf16"), ("Subgraph", "f32"), ("Subgraph", "f16"))
    with pytest.raises(InvalidValueError, match="of float16 it makes bfloat16: 1 Convolution"):
        openvino_runtime._formats(of_a_file, "float16")


def test_one_thread_works_in_the_thread_that_calls() -> None:
    assert RUNTIME.place(RunSettings()) == Place("this-cpu", own_thread=True)
    assert not RUNTIME.place(RunSettings(threads=2)).own_thread
    wide = TorchNetwork(nn.Conv2d(32, 64, 3), (32, 64, 64))
    with RUNTIME.prepare(wide, RunSettings()) as executable:
        executable.run()
        own, every = time.thread_time(), time.process_time()
        for _ in range(20):
            executable.run()
        own, every = time.thread_time() - own, time.process_time() - every
    assert own > 0.8 * every


def test_onnx_models_with_free_and_several_inputs(tmp_path: Any) -> None:
    path = tmp_path / "free.onnx"
    export_onnx(CELL, (3, 8, 8), path, dynamic_batch=True)
    with RUNTIME.prepare(OnnxModel(path), RunSettings(batch=4)) as executable:
        assert executable.outputs()[0].shape == (4, 5)
        assert executable.key.batch == 4
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
        helper.make_tensor_value_info("i", TensorProto.INT64, ["n", 1]),
    ]
    nodes = [
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "two", values, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with RUNTIME.prepare(OnnxModel(model), RunSettings(batch=3)) as executable:
        x, i = executable.inputs
        np.testing.assert_allclose(executable.outputs()[0], x + i, rtol=1e-6)
        # Other inputs leave the network's own behind.
        np.testing.assert_allclose(executable.outputs(x + 1, i)[0], x + 1 + i, rtol=1e-6)
        np.testing.assert_allclose(executable.outputs()[0], x + i, rtol=1e-6)
    with pytest.raises(UnknownNameError, match="`device of openvino` must be one of"):
        RUNTIME.place(RunSettings("tpu"))


def test_a_scalar_is_an_input() -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 4]), ("factor", []), ("y", [1, 4]))
    ]
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    graph = helper.make_graph([node], "scaled", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with RUNTIME.prepare(OnnxModel(model), RunSettings()) as executable:
        x, factor = executable.inputs
        assert factor.shape == ()
        np.testing.assert_allclose(executable.outputs()[0], x * factor, rtol=1e-6)


def one_operator(
    operator: str, operator_set: int = 18, out: int = TensorProto.FLOAT, **attributes: Any
) -> OnnxModel:
    shape = [1, None, None, None]
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind in (("x", TensorProto.FLOAT), ("y", out))
    ]
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    sets = [helper.make_opsetid("", operator_set)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    return OnnxModel(model, shapes=(("x", (1, 3, 9, 9)),))


@pytest.mark.parametrize(
    "network",
    [
        one_operator("MaxPool", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1),
        one_operator("Softmax", operator_set=11, axis=1),
        one_operator("LRN", size=3, alpha=0.5, bias=1.2),
    ],
    ids=["MaxPool", "Softmax", "LRN"],
)
def test_operators_that_it_computes_otherwise_are_no_latency(network: OnnxModel) -> None:
    with RUNTIME.prepare(network, RunSettings()) as executable:
        assert isinstance(executable, Prepared)
        with pytest.raises(InvalidValueError, match="`model` must give"):
            compared(executable, executable.expected)


def test_outputs_that_cannot_be_compared_say_so() -> None:
    for operator, attributes, reason in (
        ("ArgMax", {"axis": 1}, "no, an output is of other things than floating-point numbers"),
        ("RandomNormalLike", {}, "no, the outputs are random"),
    ):
        kind = TensorProto.INT64 if operator == "ArgMax" else TensorProto.FLOAT
        with RUNTIME.prepare(one_operator(operator, out=kind, **attributes), RunSettings()) as made:
            assert isinstance(made, Prepared)
            assert (made.facts["compared"], made.expected) == (reason, [])


def test_windows_behind_the_image_are_left_out_of_torch_networks() -> None:
    torch_pool = nn.Sequential(nn.MaxPool2d(2, 3, ceil_mode=True), nn.Flatten())
    with RUNTIME.prepare(TorchNetwork(torch_pool, (3, 9, 9)), RunSettings()) as executable:
        assert agreement(executable, torch_pool).relative_error < 1e-6


class Joined(nn.Module):
    """Joins branches of different ranges in front of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined: torch.Tensor = self.c(torch.cat([self.a(x), 3 * self.b(x)], 1))
        return joined


def test_int8_of_joined_branches_has_all_its_steps() -> None:
    with seeded(0):
        module = Joined().eval()
    network = TorchNetwork(module, (3, 8, 8))
    with RUNTIME.prepare(network, RunSettings(precision="int8")) as executable:
        assert agreement(executable, module).relative_error < 0.04
    model = OnnxModel(export_onnx(module, network.input).SerializeToString())
    with RUNTIME.prepare(model, RunSettings(precision="int8")) as executable:
        assert isinstance(executable, Prepared)
        assert compared(executable, executable.expected).relative_error < 0.04
    assert "unsigned" in written(RUNTIME, RunSettings(precision="int8"))


class MaskedMean(nn.Module):
    """Pools tokens by a masked mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = (x[..., :1] > 0).float()
        total = (self.first(x) * mask).sum(1)
        means: torch.Tensor = self.last(total / mask.sum(1).clamp(min=1))
        return means


def test_int8_masked_means_of_every_sequence_of_a_batch() -> None:
    with seeded(0):
        module = MaskedMean().eval()
    network = TorchNetwork(module, (12, 16))
    with RUNTIME.prepare(network, RunSettings(precision="int8", batch=3)) as executable:
        assert agreement(executable, module).relative_error < 0.04


def test_a_file_that_is_written_again_is_the_model_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where one compiles by a path, OpenVINO's cache takes its time in seconds and its size
    # for what it holds: findings/openvino_cache_gives_old_weights.sh.
    core = pytest.importorskip("openvino").Core()
    core.set_property({"CACHE_DIR": str(tmp_path / "cache")})
    monkeypatch.setattr(openvino_runtime, "_core", lambda: core)
    path, given = tmp_path / "model.onnx", np.ones((1, 3, 8, 8), np.float32)
    answers = []
    for seed in (1, 2):
        with seeded(seed):
            export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8), path)
        os.utime(path, (1e9, 1e9))
        with RUNTIME.prepare(OnnxModel(path), RunSettings(precision=None)) as executable:
            answers.append(executable.outputs(given)[0])
    assert not np.allclose(answers[0], answers[1])


class Options(nn.Module):
    """OpenVINO's own reader of PyTorch takes the correction for 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.var(3, correction=2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_options_of_operators_are_read() -> None:
    # findings/openvino_reads_pytorch_without_options.sh
    with RUNTIME.prepare(TorchNetwork(Options(), (3, 8, 8)), RunSettings()) as executable:
        assert agreement(executable, Options()).relative_error < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_truths_are_no_integers_to_compute_in(precision: str) -> None:
    class Thresholded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.softplus(self.conv(x), beta=2)

    network = TorchNetwork(Thresholded().eval(), (3, 6, 6))
    with RUNTIME.prepare(network, RunSettings(precision=precision)) as ready:
        assert agreement(ready, network.module).correlation > 0.999


@pytest.mark.parametrize(("kept", "wrong"), [("AveragePool", "1 Pooling"), ("Conv", None)])
def test_what_runs_in_int8_in_spite_of_it_is_refused(kept: str, wrong: str | None) -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 8, 3)]
    network = TorchNetwork(
        nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 2)).eval(), (3, 8, 8)
    )
    settings = RunSettings(precision="int8", options=(("float_operators", kept),))
    refused = pytest.raises(InvalidValueError, match=f"OpenVINO computes {wrong} in int8, as all")
    with nullcontext() if wrong is None else refused, RUNTIME.prepare(network, settings):
        pass


def test_what_is_left_to_a_quantisation_in_spite_of_it_is_refused() -> None:
    """OpenVINO makes no layer of a ReLU that the next quantisation does."""
    layers = [nn.Conv2d(3, 8, 1), nn.ChannelShuffle(4), nn.ReLU(), nn.Conv2d(8, 8, 1)]
    network = TorchNetwork(nn.Sequential(*layers).eval(), (3, 8, 8))
    settings = RunSettings(precision="int8", options=(("float_operators", "Relu"),))
    refused = pytest.raises(InvalidValueError, match="OpenVINO computes 1 Relu in int8, as all")
    with refused, RUNTIME.prepare(network, settings):
        pass


def test_a_convolution_between_others_in_int8_stays() -> None:
    """OpenVINO adds the bias, here of a batch norm, apart, and names the convolution otherwise."""
    layers = [nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)]
    head = [nn.Sigmoid(), nn.Flatten(), nn.Linear(128, 2)]
    network = TorchNetwork(nn.Sequential(*layers, *head).eval(), (3, 8, 8))
    settings = RunSettings(precision="int8", options=(("float_operators", "Conv"),))
    with RUNTIME.prepare(network, settings) as executable:
        assert isinstance(executable, Prepared)
        assert "2 Convolution" in executable.facts["float32_operators"]
