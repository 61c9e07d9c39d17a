"""int8 models whose quantisation by ONNX Runtime's tool alone computes something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import Activations, Array
from hwnas.runtimes.lowering import to_int8
from hwnas.runtimes.onnxruntime_runtime import activations_for

SHAPE = (1, 8, 8, 8)
RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.normal(size=(8, 8, 3, 3)) / 8, "b": RNG.normal(size=8)}
IMAGES = [{"input": RNG.normal(size=SHAPE).astype(np.float32)} for _ in range(4)]


def conv(given: str, made: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [given, "w", "b"], [made], pads=[1, 1, 1, 1])


def model_of(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], **constants: float
) -> onnx.ModelProto:
    tensors = {**WEIGHTS, **{name: np.array(value) for name, value in constants.items()}}
    graph = helper.make_graph(
        list(nodes),
        "nodes without names",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in outputs],
        [
            numpy_helper.from_array(value.astype(np.float32), name)
            for name, value in tensors.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answers(model: onnx.ModelProto, feed: Mapping[str, Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feed)))


def in_int8(model: onnx.ModelProto, float_operators: str = "none") -> onnx.ModelProto:
    """Quantise as ONNX Runtime's CPU provider gets it."""
    return to_int8(model, IMAGES, float_operators, activations_for("cpu"))


def errors(model: onnx.ModelProto) -> list[float]:
    """Give the largest error of each output as a share of its largest value.

    It is the larger one of activations as the CPU provider gets them and as LiteRT does.
    """
    plain = answers(model, IMAGES[0])
    found = [
        [float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(plain, made, strict=True)]
        for made in (answers(m, IMAGES[0]) for m in (in_int8(model), to_int8(model, IMAGES)))
    ]
    return [max(of_output) for of_output in zip(*found, strict=True)]


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_output_keeps_the_values_that_a_relu_behind_it_takes_away(activation: str) -> None:
    bounds = ["zero", "six"] if activation == "Clip" else []
    nodes = [
        conv("input", "features"),
        helper.make_node(activation, ["features", *bounds], ["active"]),
        conv("active", "logits"),
    ]
    given = model_of(nodes, ["logits", "features"], zero=0.0, six=6.0)
    assert max(errors(given)) < 0.05
    lower = in_int8(given)
    assert [value.name for value in lower.graph.output] == ["logits", "features"]


def test_an_output_that_no_node_makes_keeps_its_name() -> None:
    nodes = [helper.make_node("Relu", ["input"], ["active"]), conv("active", "logits")]
    assert max(errors(model_of(nodes, ["logits", "input"]))) < 0.05


@pytest.mark.parametrize("bounds", [{"low": 0.5, "high": 1.0}, {"low": -1.0, "high": -0.5}])
def test_a_range_without_zero_stays_one(bounds: dict[str, float]) -> None:
    nodes = [conv("input", "a"), helper.make_node("Clip", ["a", "low", "high"], ["y"])]
    given = model_of(nodes, ["y"], **bounds)
    (made,) = answers(in_int8(given), IMAGES[0])
    assert made.min() >= bounds["low"]
    assert made.max() <= bounds["high"]
    assert errors(given)[0] < 0.05


class MaskedAttention(nn.Module):
    """Each of 8 tokens attends to those before it."""

    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.queries = nn.Linear(8, 8)
        self.register_buffer("mask", torch.full((8, 8), hidden).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (1, 8, 8, 8) to as many."""
        scores = self.queries(x) @ x.transpose(-1, -2) + self.mask
        attended: Tensor = (scores / 2).softmax(dim=-1) @ x
        return attended


@pytest.mark.parametrize("hidden", [-float("inf"), -1e9, -1e4])
def test_scores_are_left_of_masked_attention(hidden: float) -> None:
    torch.manual_seed(0)
    given = export_onnx(MaskedAttention(hidden), SHAPE[1:])
    assert errors(given)[0] < 0.05
    lower = in_int8(given)
    quantised = {n.input[0] for n in lower.graph.node if n.op_type == "QuantizeLinear"}
    made = {n.op_type for n in lower.graph.node if not quantised.isdisjoint(n.output)}
    assert "MatMul" in made, "the products are in int8"
    assert "Add" not in made, "what holds the mask is not"


def test_groups_of_a_transposed_convolution_are_computed() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ConvTranspose2d(8, 8, 3, padding=1, groups=2))
    assert errors(export_onnx(network, SHAPE[1:]))[0] < 0.05


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("sides", [(6,), (1, 6), (), (1,), (8, 1), (8, 6)])
def test_biases_of_matrix_products_keep_their_factor(
    beta: float, transposed: bool, sides: tuple[int, ...]
) -> None:
    flat = helper.make_node("Flatten", ["input"], ["flat"], axis=2)
    gemm = helper.make_node("Gemm", ["flat", "k", "l"], ["y"], beta=beta, transB=int(transposed))
    # The bias itself is read as well.
    model = model_of([flat, gemm, helper.make_node("Add", ["y", "l"], ["sum"])], ["sum"])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("sum", TensorProto.FLOAT, (8, 6)))
    weight = RNG.normal(size=(6, 64) if transposed else (64, 6))
    for name, value in {"k": weight, "l": RNG.uniform(30, 60, size=sides)}.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    assert max(errors(model)) < 0.03
    one_row = len(sides) < 2 or sides[0] == 1
    assert (gemm_reads(in_int8(model)) == ["DequantizeLinear"] * 3) == one_row


def gemm_reads(model: onnx.ModelProto) -> list[str | None]:
    """Name the operators that make what the only Gemm reads; None where it is a constant."""
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    (gemm,) = (node for node in model.graph.node if node.op_type == "Gemm")
    return [made.get(name) for name in gemm.input]


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("given", [False, True])
def test_a_factor_is_kept_of_a_bias_that_a_node_makes_and_forgotten_without_one(
    beta: float, given: bool
) -> None:
    first = conv("input", "made")  # something is in int8 in any case
    flat = helper.make_node("Flatten", ["made"], ["flat"], axis=2)
    bias = [helper.make_node("ReduceSum", ["flat", "axes"], ["l"])] if given else []
    gemm = helper.make_node(
        "Gemm", ["flat", "k", "l"] if given else ["flat", "k"], ["y"], beta=beta
    )
    model = model_of([first, flat, *bias, gemm], ["y"])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (8, 6)))
    weight = RNG.normal(size=(64, 6)).astype(np.float32)
    for name, value in {"k": weight, "axes": np.array([1])}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    assert max(errors(model)) < 0.05
    in_float = given and beta != 1
    assert (gemm_reads(in_int8(model))[:2] == ["DequantizeLinear"] * 2) != in_float


def test_layer_norms_over_several_axes_are_left_in_float() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.LayerNorm([8, 8, 8])).eval()
    assert max(errors(export_onnx(model, SHAPE[1:]))) < 0.05


def test_a_layer_that_is_shared_is_right_for_each_of_its_inputs() -> None:
    # In ONNX Runtime's other form, QOperator, its bias has one scale for both:
    # findings/onnxruntime_int8_qoperator_shared_bias_and_pool.sh.
    smaller = helper.make_node("Mul", ["input", "k"], ["scaled"])
    nodes = [conv("input", "one"), smaller, conv("scaled", "two")]
    assert max(errors(model_of(nodes, ["one", "two"], k=0.1))) < 0.03


@pytest.mark.parametrize("counted", [False, True])
def test_average_pools_beyond_the_border_are_right(counted: bool) -> None:
    torch.manual_seed(0)
    pool = nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=counted)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), pool).eval()
    assert max(errors(export_onnx(model, SHAPE[1:]))) < 0.05


def test_nodes_without_names_are_chosen_by_their_operator() -> None:
    nodes = [
        conv("input", "a"),
        helper.make_node("AveragePool", ["a"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        conv("p", "y"),
    ]
    given = model_of(nodes, ["y"])
    lower = in_int8(given, "AveragePool")
    made = {name: n.op_type for n in lower.graph.node for name in n.output}
    weights = [made.get(n.input[1]) for n in lower.graph.node if n.op_type == "Conv"]
    assert weights == ["DequantizeLinear"] * 2, "convolutions are not left in float32"


@pytest.mark.parametrize("activations", get_args(Activations))
def test_what_cuts_values_off_cuts_them_in_int8(activations: Activations) -> None:
    # Symmetric ranges alone would lose both: findings/onnxruntime_int8_ranges_without_relu.sh.
    relu = helper.make_node("Relu", ["made"], ["cut"])
    clip = helper.make_node("Clip", ["cut", "", "high"], ["output"])
    model = model_of([conv("input", "made"), relu, clip], ["output"], high=1.0)
    (output,) = answers(to_int8(model, IMAGES, activations=activations), IMAGES[0])
    assert output.min() == 0
    assert output.max() == pytest.approx(1, abs=0.01)
