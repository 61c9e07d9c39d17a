"""A user's own ONNX model, in int8 and in runtimes other than ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.measure.measuring import measure
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import compared
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork
from hwnas.runtimes.lowering import to_float16
from hwnas.runtimes.own_onnx import in_int8, with_shape
from hwnas.seeding import seeded

IN_SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    with seeded(0):
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
        )
    return export_onnx(layers, IN_SHAPE, dynamic_batch=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npz"
    found = np.random.default_rng(0).uniform(0, 9, (64, *IN_SHAPE)).astype(np.float32)
    np.savez(path, images=found)
    return path


@pytest.mark.parametrize("batch", [1, 5])
def test_its_outputs_are_compared_with_its_own_in_float32(
    model: onnx.ModelProto, images: Path, batch: int
) -> None:
    settings = RunSettings(precision="int8", batch=batch, images=str(images))
    with make_runtime("onnxruntime").prepare(OnnxModel(model), settings) as ready:
        assert (ready.key.precision, ready.key.batch) == ("int8", batch)
        given = np.load(images)["images"]
        np.testing.assert_array_equal(ready.inputs[0], given[:batch])
        # 32 images, or as many as fill the last batch.
        shown = np.concatenate([e[0] for e in getattr(ready, "examples", [])])
        np.testing.assert_array_equal(shown, given[: {1: 32, 5: 35}[batch]])
        expected = getattr(ready, "expected", [])
        session = onnxruntime.InferenceSession(model.SerializeToString())
        np.testing.assert_array_equal(
            expected[0][0], session.run(None, {"input": given[:batch]})[0]
        )
        found = compared(ready, expected)
        assert 1e-4 < found.relative_error < 0.05
        assert found.correlation > 0.99
        wrong = [[array + 100 for array in arrays] for arrays in expected]
        with pytest.raises(InvalidValueError, match=r"ONNX Runtime's outputs within 0\.5"):
            compared(ready, wrong)


def test_a_measurement_tells_calibration_and_error(model: onnx.ModelProto) -> None:
    settings = RunSettings(precision="int8")
    found = measure(OnnxModel(model, IN_SHAPE), make_runtime("onnxruntime"), settings,
                    max_seconds=0.05)  # fmt: skip
    assert found.key.precision == "int8"
    assert found.facts["calibrated_with"] == "32 images, gaussian, seed 0"
    assert 0 < found.relative_error < 0.05


@pytest.mark.parametrize(
    ("runtime", "package"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino")]
)
def test_images_are_what_runs_in_float32_too(
    model: onnx.ModelProto, images: Path, runtime: str, package: str
) -> None:
    """They were read by nobody, even where there was no such file."""
    pytest.importorskip(package, reason=f"needs the extra {runtime}")
    settings, given = RunSettings(images=str(images), batch=2), np.load(images)["images"]
    with make_runtime(runtime).prepare(OnnxModel(model), settings) as ready:
        np.testing.assert_array_equal(ready.inputs[0], given[:2])
    half = OnnxModel(to_float16(model))
    with (
        pytest.raises(InvalidValueError, match=r"`images` must be left out .* is in float16"),
        make_runtime(runtime).prepare(half, settings),
    ):
        pass


def test_outputs_that_are_not_finite_are_told() -> None:
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 8]) for n in "xy"]
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    graph, opset = helper.make_graph(nodes, "log", ends[:1], ends[1:]), helper.make_opsetid("", 17)
    log = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    with make_runtime("onnxruntime").prepare(OnnxModel(log), RunSettings()) as ready:
        assert compared(ready, [ready.outputs()]).reason == "its outputs in float32 are not finite"
    infinite = nn.Conv2d(3, 2, 3)
    torch.nn.init.constant_(infinite.weight, float("inf"))
    found = measure(
        TorchNetwork(infinite, IN_SHAPE), make_runtime("torch"), RunSettings(),
        max_seconds=0.05, reference=False,
    )  # fmt: skip
    assert found.facts["compared"] == "no, its outputs in float32 are not finite"


def test_a_model_in_int8_is_measured_as_it_is(model: onnx.ModelProto) -> None:
    settings = RunSettings(precision="int8")
    made = in_int8(OnnxModel(model, IN_SHAPE), settings)
    with make_runtime("onnxruntime").prepare(OnnxModel(made.content), settings) as ready:
        assert ready.key.precision == "int8"
        assert "calibrated_with" not in getattr(ready, "facts", {})


def test_a_model_whose_weights_are_in_float32_for_the_most_part_is_in_int8_all_the_same() -> None:
    """It was quantised a second time, and ONNX Runtime refused two nodes of one name."""
    with seeded(0):
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 50))
    proto = export_onnx(layers, IN_SHAPE)
    kept = RunSettings(precision="int8", options=(("float_operators", "Gemm"),))
    content = in_int8(OnnxModel(proto, IN_SHAPE), kept, "unsigned").content
    for precision in ("int8", None):
        settings = RunSettings(precision=precision)
        with make_runtime("onnxruntime").prepare(OnnxModel(content), settings) as ready:
            assert ready.key.precision == "int8"
            assert getattr(ready, "facts", {}) == {"float32_operators": "1 Gemm"}


def test_what_cannot_be_made_is_one_line(model: onnx.ModelProto, images: Path) -> None:
    runtime = make_runtime("onnxruntime")
    for settings, line in (
        (RunSettings(precision="fp16"), "must be its own, float32, or int8, but got 'float16'"),
        (RunSettings(precision="int8", images=str(images), batch=99), "images"),
    ):
        with (
            pytest.raises(InvalidValueError, match=line),
            runtime.prepare(OnnxModel(model), settings),
        ):
            pass


def test_a_model_that_nothing_of_is_in_int8_is_no_int8() -> None:
    """What OpenVINO computed in float32 stood under the key of int8, for a truth beside it."""
    with seeded(0):
        proto = export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), IN_SHAPE)
    kept = RunSettings(precision="int8", options=(("float_operators", "Gemm"),))
    with pytest.raises(InvalidValueError, match="no operator of it can be quantised, or all are"):
        in_int8(OnnxModel(proto), kept)


def test_a_precision_that_a_file_is_not_in_is_told(model: onnx.ModelProto) -> None:
    half = OnnxModel(to_float16(model), IN_SHAPE)
    with (
        pytest.raises(InvalidValueError, match="must be its own, float16, but got 'float32'"),
        make_runtime("onnxruntime").prepare(half, RunSettings(precision="float32")),
    ):
        pass


@pytest.mark.parametrize(
    ("runtime", "precision", "package"),
    [
        ("openvino", "int8", "openvino"),
        ("openvino", "bfloat16", "openvino"),
        ("litert", "float32", "ai_edge_litert"),
        ("litert", "int8", "ai_edge_litert"),
        ("mnn", "float32", "MNN"),
        ("ncnn", "float32", "ncnn"),
    ],
)
def test_other_runtimes_give_its_own_outputs(
    model: onnx.ModelProto, runtime: str, precision: str, package: str
) -> None:
    pytest.importorskip(package, reason=f"needs the extra {runtime}")
    own = onnx.ModelProto.FromString(model.SerializeToString())
    # Names that a converter is asked for may be those of other tensors.
    names = {"input": "image", "output": "logits", own.graph.node[0].output[0]: "input"}
    for node in own.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    own.graph.input[0].name, own.graph.output[0].name = "image", "logits"
    del own.graph.value_info[:]
    settings = RunSettings(precision=precision)
    with make_runtime(runtime).prepare(OnnxModel(own, IN_SHAPE), settings) as ready:
        assert (ready.key.precision, ready.key.batch) == (precision, 1)
        expected = getattr(ready, "expected", [])
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (first,) = session.run(None, {"input": ready.inputs[0]})
        np.testing.assert_allclose(expected[0][0], first, rtol=1e-5, atol=1e-6)
        found = compared(ready, expected)
        assert found.relative_error < {"float32": 1e-3, "bfloat16": 0.05, "int8": 0.2}[precision]
        assert found.correlation > 0.99


@pytest.mark.parametrize(
    ("layer", "automatic"),
    [
        (layer, automatic)
        for layer in ("Conv", "MaxPool", "AveragePool")
        for automatic in ("VALID", "SAME_UPPER", "SAME_LOWER")
        if (layer, automatic) != ("AveragePool", "SAME_LOWER")  # LiteRT has none, and it is refused
    ],
)
def test_litert_pads_as_a_model_says_by_name(layer: str, automatic: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    inputs = ["input", "weight"] if layer == "Conv" else ["input"]
    # 7 by 7 images, windows of 4 by 4 at each second place: one side is padded by one more.
    node = onnx.helper.make_node(
        layer, inputs, ["output"], auto_pad=automatic, kernel_shape=[4, 4], strides=[2, 2]
    )
    weight = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("input", [1, 3, 7, 7]), ("output", None))
    ]
    constants = [onnx.numpy_helper.from_array(weight, "weight")][: len(inputs) - 1]
    graph = onnx.helper.make_graph([node], "padded", ends[:1], ends[1:], constants)
    opset = [onnx.helper.make_opsetid("", 17)]
    padded = OnnxModel(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8))
    with make_runtime("litert").prepare(padded, RunSettings()) as ready:
        assert compared(ready, getattr(ready, "expected", [])).relative_error < 1e-5


def test_a_batch_that_the_model_fixes_is_its_own() -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    fixed = export_onnx(nn.Conv2d(3, 4, 3), IN_SHAPE, batch=4)
    with make_runtime("litert").prepare(OnnxModel(fixed), RunSettings()) as ready:
        assert ready.key.batch == 4
        assert ready.inputs[0].shape == (4, *IN_SHAPE)


@pytest.mark.parametrize(
    ("runtime", "package"),
    [("onnxruntime", "onnxruntime"), ("openvino", "openvino"), ("litert", "ai_edge_litert"),
     ("mnn", "MNN")],
)  # fmt: skip
def test_functions_of_a_model_are_read(runtime: str, package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason=f"needs the extra {runtime}")
    helper = onnx.helper
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [helper.make_node("Mul", ["a", "a"], ["b"])]
    squared = helper.make_function("mine", "Squared", ["a"], ["b"], body, sets[:1])
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in "xy"]
    node = helper.make_node("Squared", ["x"], ["y"], domain="mine")
    graph = helper.make_graph([node], "own", ends[:1], ends[1:])
    own = helper.make_model(graph, functions=[squared], opset_imports=sets, ir_version=8)
    onnx.save(own, tmp_path / "own.onnx")
    for content in (own, str(tmp_path / "own.onnx")):
        with make_runtime(runtime).prepare(OnnxModel(content), RunSettings()) as ready:
            (found,) = ready.outputs()
            np.testing.assert_allclose(found, ready.inputs[0] ** 2, rtol=1e-6)


def test_graphs_inside_of_a_node_read_the_input_by_its_new_name() -> None:
    helper = onnx.helper

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])

    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["x"], [name])], name, [], [value(name)]
        )
        for name, operator in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["given"], to=onnx.TensorProto.BOOL),
        helper.make_node("If", ["given"], ["y"], **branches),
    ]
    graph = helper.make_graph(nodes, "chosen", [value("x")], [value("y")])
    own = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    drawn = np.array([[1.0, -2.0, 3.0, -4.0]], np.float32)
    session = onnxruntime.InferenceSession(with_shape(own, (1, 4)).SerializeToString())
    np.testing.assert_array_equal(session.run(None, {"input": drawn})[0], [[1, 0, 3, 0]])


def test_models_that_a_runtime_cannot_take_are_one_line(model: onnx.ModelProto) -> None:
    pytest.importorskip("ncnn", reason="needs the extra ncnn")
    ncnn = make_runtime("ncnn")
    two = onnx.ModelProto.FromString(model.SerializeToString())
    two.graph.output.append(onnx.helper.make_empty_tensor_value_info(two.graph.node[0].output[0]))
    two.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for content, batch, line in (
        (export_onnx(nn.Conv2d(3, 4, 3), IN_SHAPE, batch=2), None, "1 for the runtime 'ncnn', but"),
        (model, 2, "`batch` of an ONNX model must be 1 for the runtime 'ncnn', but got 2"),
        (to_float16(model), None, "in float32 for the runtime 'ncnn', but is in float16: use the"),
        (two, 1, "must have one input in float32 and one output for the runtime 'ncnn'"),
    ):
        with (
            pytest.raises(InvalidValueError, match=line),
            ncnn.prepare(OnnxModel(content, IN_SHAPE), RunSettings(batch=batch)),
        ):
            pass
