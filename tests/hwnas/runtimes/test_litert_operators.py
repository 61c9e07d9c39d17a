"""Hand-written ONNX models for LiteRT, beside ONNX Runtime."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import compared
from hwnas.runtimes.base import OnnxModel, RunSettings

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from hwnas.runtimes.litert.from_onnx import to_litert
from hwnas.runtimes.litert.translation import UnwrittenError

IMAGE, SIGNAL = (1, 3, 4, 5), (1, 3, 6)
GELU: Mapping[str, Any] = {"root": math.sqrt(2), "one": 1.0, "half": 0.5}
ERF = [
    helper.make_node("Div", ["x", "root"], ["a"]),
    helper.make_node("Erf", ["a"], ["e"]),
    helper.make_node("Add", ["e", "one"], ["p"]),
]
PRODUCTS = {
    "x(half(erf + 1))": [("p", "half"), ("x", "0")],
    "(x(erf + 1))half": [("x", "p"), ("0", "half")],
    "(half x)(erf + 1)": [("half", "x"), ("p", "0")],
}


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    shape: Sequence[int],
    opset: int = 17,
) -> onnx.ModelProto:
    """Give a model from `x` to `y`."""
    arrays = {name: np.array(value) for name, value in constants.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(a.astype(np.float32) if a.dtype.kind == "f" else a, name)
            for name, a in arrays.items()
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(made, data_prop=True)
    onnx.checker.check_model(inferred)
    return inferred


def assert_as_onnx_runtime(made: onnx.ModelProto) -> None:
    batch = made.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    with make_runtime("litert").prepare(OnnxModel(made), RunSettings(batch=batch)) as ready:
        session = onnxruntime.InferenceSession(made.SerializeToString())
        expected = session.run(None, {made.graph.input[0].name: ready.inputs[0]})
        assert compared(ready, [expected]).relative_error < 1e-5


def resize(sizes: Sequence[int], shape: Sequence[int], **attributes: str) -> onnx.ModelProto:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    return model([node], {"sizes": np.array(sizes)}, shape)


NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


@pytest.mark.parametrize("way", [NEAREST, LINEAR])
@pytest.mark.parametrize("sizes", [(1, 3, 12), (1, 3, 4), (1, 3, 7, 3)])
def test_signals_and_images_are_resized(sizes: Sequence[int], way: Mapping[str, str]) -> None:
    assert_as_onnx_runtime(resize(sizes, SIGNAL if len(sizes) == 3 else IMAGE, **way))


@pytest.mark.parametrize("way", [NEAREST, LINEAR])
@pytest.mark.parametrize("sizes", [(1, 6, 6), (1, 6, 4, 5), (2, 3, 4, 5)])
def test_channels_and_batches_are_not_resized(sizes: Sequence[int], way: Mapping[str, str]) -> None:
    with pytest.raises(UnwrittenError, match="Resize of channels or of the batch"):
        to_litert(resize(sizes, SIGNAL if len(sizes) == 3 else IMAGE, **way))


def product(name: str) -> list[onnx.NodeProto]:
    """Give x (erf(x / √2) + 1) ½ in an order, `z0` its first product."""
    (a, b), (c, d) = (tuple(n.replace("0", "z0") for n in pair) for pair in PRODUCTS[name])
    return [*ERF, helper.make_node("Mul", [a, b], ["z0"]), helper.make_node("Mul", [c, d], ["z1"])]


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_gelu_is_joined_in_whatever_order_it_is_multiplied(name: str) -> None:
    end = helper.make_node("Sigmoid", ["z1"], ["y"])
    assert_as_onnx_runtime(model([*product(name), end], GELU, (1, 8)))


def test_a_gelu_s_parts_are_left_to_others() -> None:
    # (x ½) is read again; erf + 1 cannot be.
    again = helper.make_node("Add", ["z1", "z0"], ["y"])
    assert_as_onnx_runtime(model([*product("(half x)(erf + 1)"), again], GELU, (1, 8)))
    with pytest.raises(UnwrittenError, match="but got Erf"):
        to_litert(model([*product("x(half(erf + 1))"), again], GELU, (1, 8)))


def test_an_activation_behind_or_within_a_gelu_is_not_lost() -> None:
    for end in ("Relu", "Clip"):
        bounds = ["zero", "six"] if end == "Clip" else []
        nodes = [*product("x(half(erf + 1))"), helper.make_node(end, ["z1", *bounds], ["y"])]
        constants = {**GELU, "zero": 0.0, "six": 6.0}
        with pytest.raises(UnwrittenError, match="but got Erf"):
            to_litert(model(nodes, constants, (1, 8)))
    cut = [
        helper.make_node("Mul", ["half", "x"], ["z"]),
        helper.make_node("Relu", ["z"], ["z0"]),
        helper.make_node("Mul", ["p", "z0"], ["y"]),
    ]
    with pytest.raises(UnwrittenError, match="but got Erf"):
        to_litert(model([*ERF, *cut], GELU, (1, 8)))


@pytest.mark.parametrize("wrong", [{"root": 1.2}, {"one": 2.0}, {"half": 0.6}])
def test_another_product_with_erf_is_no_gelu(wrong: Mapping[str, float]) -> None:
    nodes = [*product("(half x)(erf + 1)"), helper.make_node("Identity", ["z1"], ["y"])]
    with pytest.raises(UnwrittenError, match="but got Erf"):
        to_litert(model(nodes, {**GELU, **wrong}, (1, 8)))


def test_the_gelu_of_pytorch_s_first_exporter_is_joined(tmp_path: Path) -> None:
    file = tmp_path / "gelu.onnx"
    layers = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(layers, (torch.zeros(1, 8),), file, dynamo=False, opset_version=17)
    assert_as_onnx_runtime(onnx.load(file))


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("axes", [[1], [0, 1], [-1, 1]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_means_are_those_over_the_named_dimensions(
    axes: list[int], keepdims: int, opset: int
) -> None:
    def mean(result: str) -> onnx.NodeProto:
        if opset < 18:
            return helper.make_node("ReduceMean", ["x"], [result], axes=axes, keepdims=keepdims)
        return helper.make_node("ReduceMean", ["x", "axes"], [result], keepdims=keepdims)

    given = {"axes": np.array(axes)} if opset >= 18 else {}
    assert_as_onnx_runtime(model([mean("y")], given, IMAGE, opset))
    if axes != [-1, 1] or keepdims:  # which (1, 4) is not added to
        add = helper.make_node("Add", ["m", "x"], ["y"])
        assert_as_onnx_runtime(model([mean("m"), add], given, IMAGE, opset))


WEIGHTS = np.random.default_rng(0).normal(size=(8, 3))


@pytest.mark.parametrize("bias", [0.5, [0.5], [[0.5]], [0.1, 0.2, 0.3], [[0.1, 0.2, 0.3]]])
def test_a_bias_of_one_number_is_that_of_every_output(bias: Any) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    assert_as_onnx_runtime(model([node], {"w": WEIGHTS, "b": bias}, (2, 8)))


@pytest.mark.parametrize("bias", [[[0.1], [0.2], [0.3]], np.ones((3, 3))])
def test_a_bias_of_each_example_is_refused(bias: Any) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    with pytest.raises(UnwrittenError, match="Gemm whose bias is no number an output: use the"):
        to_litert(model([node], {"w": WEIGHTS, "b": bias}, (3, 8)))


def test_a_resize_by_a_scale_that_gives_no_whole_size() -> None:
    def scaled(way: Mapping[str, str], *scales: float) -> onnx.ModelProto:
        node = helper.make_node("Resize", ["x", "", "scales"], ["y"], **way)
        return model([node], {"scales": np.array([1, 1, *scales])}, IMAGE)

    assert_as_onnx_runtime(scaled(NEAREST, 1.3, 0.7))
    assert_as_onnx_runtime(scaled(LINEAR, 1.5, 2))
    assert_as_onnx_runtime(scaled(LINEAR, 1.3, 2))  # which LiteRT's own operator would change


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("way", ["asymmetric", "half_pixel", "align_corners"])
def test_nearest_rows_are_chosen_as_the_model_says(way: str, rounding: str) -> None:
    how = {"mode": "nearest", "coordinate_transformation_mode": way, "nearest_mode": rounding}
    assert_as_onnx_runtime(resize((1, 3, 7, 3), IMAGE, **how))


def test_corners_are_aligned() -> None:
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    assert_as_onnx_runtime(resize((1, 3, 7, 3), IMAGE, **how))


@pytest.mark.parametrize("shape", [IMAGE, SIGNAL])
@pytest.mark.parametrize("strides", [[2, 2], [1, 3]])
@pytest.mark.parametrize("more", [{"group": 3}, {"dilations": [2, 2]}, {"output_padding": [0, 1]}])
def test_transposed_convolutions_have_groups_and_holes(
    shape: Sequence[int], more: dict[str, Any], strides: Sequence[int]
) -> None:
    rank = len(shape) - 2
    given = {name: v if name == "group" else v[-rank:] for name, v in more.items()}
    given |= {"strides": strides[-rank:], "pads": [1] * 2 * rank}
    weight = np.random.default_rng(0).normal(size=(3, 2, 3, 4)[: 2 + rank])
    outputs = 2 * given.get("group", 1)
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **given)
    assert_as_onnx_runtime(model([node], {"w": weight, "b": np.arange(float(outputs))}, shape))


def test_groups_of_several_channels_and_filters_below_the_stride_are_transposed() -> None:
    rng = np.random.default_rng(0)
    for groups, channels, side in ((2, 4, 3), (4, 4, 1)):
        node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=groups, strides=[2, 2])
        weight = rng.normal(size=(channels, 2, side, side))
        assert_as_onnx_runtime(model([node], {"w": weight}, (2, channels, 3, 4)))


@pytest.mark.parametrize("parts", ["equal", "named", "counted"])
def test_splits_are_counted_from_the_end_and_may_be_uneven(parts: str) -> None:
    more: dict[str, Any] = {"num_outputs": 2} if parts == "counted" else {}
    constants = {"sizes": [1, 4]} if parts == "named" else {}
    axis = -2 if parts == "equal" else -1  # 4 or 5 places
    nodes = [
        helper.make_node("Split", ["x", *constants], ["a", "b"], axis=axis, **more),
        helper.make_node("ReduceMax", ["a"], ["m"]),
        helper.make_node("Mul", ["b", "m"], ["y"]),
    ]
    assert_as_onnx_runtime(model(nodes, constants, IMAGE, 18 if more else 17))


def test_casts_to_other_types_are_refused() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(UnwrittenError, match="Cast to FLOAT16"):
        to_litert(model(nodes, {}, IMAGE))


@pytest.mark.parametrize(
    "more", [{"mode": "cubic"}, {"mode": "linear", "antialias": 1}, {"mode": "linear"}]
)
@pytest.mark.parametrize("shape", [IMAGE, SIGNAL])
def test_cubic_smoothed_and_asymmetric_resizes_are_products_with_matrices(
    more: dict[str, Any], shape: Sequence[int]
) -> None:
    way = "half_pixel" if len(more) > 1 or more["mode"] == "cubic" else "asymmetric"
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], coordinate_transformation_mode=way, **more
    )
    sizes = [1, 3, 8, 10] if len(shape) == 4 else [1, 3, 11]
    if len(shape) == 4 or more == {"mode": "linear"}:  # of signals ONNX Runtime has these alone
        assert_as_onnx_runtime(model([node], {"sizes": sizes}, shape, 18))


def test_a_resize_of_a_part_is_refused() -> None:
    way = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    node = helper.make_node("Resize", ["x", "roi", "", "sizes"], ["y"], **way)
    constants = {"roi": [0.0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], "sizes": [1, 3, 8, 10]}
    with pytest.raises(UnwrittenError, match="Resize of a part"):
        to_litert(model([node], constants, IMAGE, 18))


@pytest.mark.parametrize("axis", [1, -1])
def test_sums_so_far_and_the_largest_in_their_order(axis: int) -> None:
    sums = [
        helper.make_node("CumSum", ["x", "axis"], ["a"], exclusive=1),
        helper.make_node("CumSum", ["a", "axis"], ["y"], reverse=1),
    ]
    assert_as_onnx_runtime(model(sums, {"axis": axis}, IMAGE))
    top = helper.make_node("TopK", ["x", "k"], ["y", "places"], axis=axis)
    assert_as_onnx_runtime(model([top], {"k": [2]}, IMAGE))
    least = helper.make_node("TopK", ["x", "k"], ["y", "places"], axis=axis, largest=0)
    with pytest.raises(UnwrittenError, match="TopK of the smallest numbers"):
        to_litert(model([least], {"k": [2]}, IMAGE))


@pytest.mark.parametrize("ends", [(-1, -9), (3, 1), (-2, 0)])
@pytest.mark.parametrize("step", [-1, -2])
def test_slices_go_backwards(ends: tuple[int, int], step: int) -> None:
    node = helper.make_node("Slice", ["x", "start", "end", "axes", "step"], ["y"])
    constants = {"start": [ends[0], 0], "end": [ends[1], 2], "axes": [3, 1], "step": [step, 1]}
    assert_as_onnx_runtime(model([node], constants, IMAGE))


CHOICES = {"one": 1.0, "some": np.array([0.1, -0.2, 0.3, 0.4, -0.5])}
NODES: dict[str, list[tuple[str, str, str]]] = {
    "single numbers": [
        ("Abs", "x", "a"),
        ("Sqrt", "a", "b"),
        ("Neg", "b", "c"),
        ("Exp", "c", "d"),
        ("Log", "d", "e"),
        ("Softplus", "e", "f"),
        ("Pow", "a some", "g"),
        ("Max", "f g", "h"),
        ("Min", "h one", "y"),
    ],
    "bounds": [("Clip", "x  one", "a"), ("Clip", "a some0", "y")],
    "an activation's bounds": [("Clip", "x zero one", "a"), ("Clip", "a minus one", "y")],
    "choices": [
        ("Greater", "x some", "a"),
        ("LessOrEqual", "x one", "b"),
        ("And", "a b", "c"),
        ("Not", "c", "d"),
        ("Where", "d x some", "e"),
        ("Cast", "c", "f"),
        ("Mul", "e f", "g"),
        ("Sub", "x g", "y"),
    ],
    "reductions": [
        ("ReduceMax", "x", "a"),
        ("ReduceSum", "x rows", "b"),
        ("ReduceL2", "x", "c"),
        ("Div", "b c", "d"),
        ("Add", "a d", "y"),
    ],
    "waves": [("Sin", "x", "a"), ("Cos", "a", "y")],
    "steps": [
        ("Mul", "x ten", "a"),
        *((kind, "a", kind) for kind in ("Floor", "Ceil", "Round")),
        ("Mul", "Floor Ceil", "c"),
        ("Sub", "c Round", "y"),
    ],
    "mods": [
        ("Mul", "x ten", "a"),
        ("Cast", "a", "b"),
        ("Mod", "b three", "c"),
        ("Cast", "c", "y"),
    ],
    "repeated": [("ReduceMin", "x", "a"), ("Expand", "a whole", "b"), ("LogSoftmax", "b", "y")],
    "softmax of channels": [("Softmax", "x", "a"), ("Add", "a x", "y")],
    "places": [("GatherND", "x places", "y")],
    "a constant of more dimensions": [("Reshape", "x flat", "a"), ("Add", "a wide", "y")],
}


@pytest.mark.parametrize("name", NODES)
def test_single_numbers_choices_and_reductions(name: str) -> None:
    axes = {"ReduceMax": [1], "ReduceL2": [1], "ReduceMin": [1]}
    nodes = []
    for kind, inputs, output in NODES[name]:
        given: dict[str, Any] = {"axes": axes[kind]} if kind in axes else {}
        given |= {"axis": 1} if kind == "Softmax" else {}
        to = TensorProto.INT64 if output == "b" else TensorProto.FLOAT
        given |= {"to": to} if kind == "Cast" else {}
        nodes.append(helper.make_node(kind, inputs.split(" "), [output], **given))
    constants = CHOICES | {
        "zero": 0.0,
        "minus": -1.0,
        "ten": 10.0,
        "three": 3,
        "some0": -0.7,
        "rows": np.array([1]),
        "whole": np.array([1, 2, 4, 5]),
        "places": np.array([[0, 1], [0, -1]]),
        "flat": np.array([60]),
        "wide": np.ones((2, 1, 60)),
    }
    used = {i for n in nodes for i in n.input}
    assert_as_onnx_runtime(model(nodes, {k: v for k, v in constants.items() if k in used}, IMAGE))


@pytest.mark.parametrize(
    ("opset", "kind", "attributes"),
    [
        (10, "Clip", {"min": -0.2, "max": 0.3}),
        (10, "Clip", {"max": 0.3}),
        (10, "Pad", {"pads": [0, 0, 1, 0, 0, 0, 0, 2]}),
        (9, "Slice", {"starts": [1], "ends": [3], "axes": [2]}),
        (9, "Slice", {"starts": [0, 1], "ends": [1, 3]}),
        (11, "Split", {"split": [1, 3], "axis": 2}),
        (11, "Softmax", {"axis": 3}),
    ],
)
def test_operators_of_old_sets_are_what_they_were(
    opset: int, kind: str, attributes: Mapping[str, Any]
) -> None:
    outputs = ["y", "z"] if kind == "Split" else ["y"]
    node = helper.make_node(kind, ["x"], outputs, **attributes)
    assert_as_onnx_runtime(model([node], {}, IMAGE, opset))


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_a_softmax_of_old_sets_is_over_the_second_dimension_or_refused(kind: str) -> None:
    node = helper.make_node(kind, ["x"], ["y"])
    assert_as_onnx_runtime(model([node], {}, (2, 4), 11))
    assert_as_onnx_runtime(model([node], {}, (2, 4, 1), 11))
    with pytest.raises(UnwrittenError, match=f"{kind} over several dimensions, as before"):
        to_litert(model([node], {}, SIGNAL, 11))


def test_a_slice_has_steps_without_axes() -> None:
    node = helper.make_node("Slice", ["x", "start", "end", "", "step"], ["y"])
    constants = {"start": [0, 1], "end": [1, 3], "step": [1, 2]}
    assert_as_onnx_runtime(model([node], constants, IMAGE))


def test_a_gelu_by_tanh_stays_one() -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], approximate="tanh")
    assert_as_onnx_runtime(model([node], {}, (1, 64), 20))


def test_remainders_of_real_numbers_are_refused() -> None:
    node = helper.make_node("Mod", ["x", "three"], ["y"], fmod=1)
    with pytest.raises(UnwrittenError, match="Mod of real numbers"):
        to_litert(model([node], {"three": 3.0}, IMAGE))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_resize_may_name_its_axes(mode: str) -> None:
    for axes, scales in (([2, 3], [1.5, 2.0]), ([-1, -2], [2.0, 1.5]), ([3], [2.0])):
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode, axes=axes)
        assert_as_onnx_runtime(model([node], {"s": scales}, IMAGE, 18))


def test_a_resize_of_other_kinds_is_refused() -> None:
    old = helper.make_node("Resize", ["x", "s"], ["y"])
    kept = helper.make_node(
        "Resize", ["x", "", "", "n"], ["y"], axes=[2, 3], keep_aspect_ratio_policy="not_larger"
    )
    reason = "Resize before operator set 11, or that keeps the aspect ratio"
    for node, constants, opset in ((old, {"s": [1.0, 1, 2, 2]}, 10), (kept, {"n": [7, 9]}, 18)):
        with pytest.raises(UnwrittenError, match=reason):
            to_litert(model([node], constants, IMAGE, opset))


def test_no_named_dimensions_are_all_of_them() -> None:
    axes = {"axes": np.zeros(0, np.int64)}
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"])
    assert_as_onnx_runtime(model([node], axes, IMAGE, 18))
    none = helper.make_node("ReduceL2", ["x", "axes"], ["y"], noop_with_empty_axes=1)
    with pytest.raises(UnwrittenError, match="ReduceL2 over no dimension"):
        to_litert(model([none], axes, IMAGE, 18))


def test_integers_of_more_than_32_bits_are_refused() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.INT64),
        helper.make_node("Min", ["a", "large"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    assert_as_onnx_runtime(model(nodes, {"large": 2**31 - 1}, IMAGE))
    with pytest.raises(UnwrittenError, match="integers of more than 32 bits"):
        to_litert(model(nodes, {"large": 2**31}, IMAGE))


def test_an_operator_without_inputs_is_refused_by_name() -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["r"], shape=[1]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    with pytest.raises(UnwrittenError, match="but got RandomNormal"):
        to_litert(model(nodes, {}, IMAGE))


@pytest.mark.parametrize(("before", "after"), [(2, 82), (3, 123)])
def test_wide_nearest_resizes_take_the_place_that_is_not_rounded_down(
    before: int, after: int
) -> None:
    assert_as_onnx_runtime(resize((1, 1, 2, after), (1, 1, 2, before), **NEAREST))


def test_aligned_corners_end_with_the_last_place() -> None:
    how = {"coordinate_transformation_mode": "align_corners", "nearest_mode": "floor"}
    assert_as_onnx_runtime(resize((1, 1, 2, 42), (1, 1, 2, 2), mode="nearest", **how))


@pytest.mark.parametrize("bounds", [(0, 1), (0, 6), (-1, 1)])
def test_integers_have_bounds(bounds: tuple[int, int]) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "ten"], ["a"]),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.INT64),
        helper.make_node("Clip", ["b", "low", "high"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = {"ten": 10.0, "low": bounds[0], "high": bounds[1]}
    assert_as_onnx_runtime(model(nodes, constants, IMAGE))
