from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from hwnas.errors import InvalidValueError
from hwnas.runtimes.lowering import to_int8
from hwnas_predictors.kernels.fused_graph import block_size, find_kernels
from hwnas_predictors.kernels.kernel import Configuration, Kernel
from hwnas_predictors.kernels.target import Target
from tests.hwnas_predictors.kernels.conftest import network

node = helper.make_node
INT8 = Target(precision="int8")


def only(kernels: list[Kernel], kind: str) -> Configuration:
    (found,) = [k.configuration for k in kernels if k.kind.removesuffix(" nchwc") == kind]
    return found


def test_batch_norm_and_activation_are_folded_into_a_convolution() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 1]),
            node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
            node("Relu", ["n"], ["y"]),
        ],
        {"w": (32, 16, 3, 3), "s": (32,), "b": (32,), "m": (32,), "v": (32,)},
    )
    kernels = find_kernels(model)
    assert not [k for k in kernels if k.operator in ("BatchNormalization", "Relu")]
    seen = only(kernels, "conv")
    assert (seen.batch, seen.c_in, seen.height, seen.width) == (1, 16, 12, 10)
    assert (seen.c_out, seen.out_height, seen.out_width) == (32, 6, 10)
    assert (seen.kernel, seen.stride, seen.groups) == ((3, 3), (2, 1), 1)
    assert (seen.activation, seen.fused_add, seen.operands) == ("Relu", False, 1)
    assert seen.flops == 2 * 32 * 16 * 9 * 6 * 10
    assert seen.weights == 32 * 16 * 9
    assert seen.bytes == 4 * (16 * 12 * 10 + 32 * 16 * 9 + 32 * 6 * 10)


def test_residual_sum_is_fused_into_a_convolution() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Conv", ["a", "v"], ["c"], pads=[1, 1, 1, 1]),
            node("Add", ["c", "a"], ["s"]),
            node("Relu", ["s"], ["y"]),
        ],
        {"w": (16, 16, 1, 1), "v": (16, 16, 3, 3)},
    )
    kernels = find_kernels(model)
    if block_size() == 1:
        pytest.skip("this CPU has no blocks, where ONNX Runtime fuses another way")
    assert not [k for k in kernels if k.operator in ("Add", "Relu")]
    seen = only(kernels, "conv")
    assert seen.fused_add
    assert seen.activation == "Relu"
    assert seen.operands == 1
    image = 16 * 12 * 10
    assert seen.bytes == 4 * (image + 16 * 16 * 9 + 2 * image)
    assert not only(kernels, "pointwise-conv").fused_add


@pytest.mark.parametrize(
    ("groups", "kind"), [(1, "conv"), (16, "depthwise-conv"), (2, "grouped-conv")]
)
def test_groups_tell_types_apart(groups: int, kind: str) -> None:
    model = network(
        [node("Conv", ["x", "w"], ["y"], group=groups, pads=[2, 2, 2, 2])],
        {"w": (16, 16 // groups, 5, 5)},
    )
    seen = only(find_kernels(model), kind)
    assert seen.groups == groups
    assert seen.flops == 2 * 16 * (16 // groups) * 25 * 12 * 10


def test_channels_are_padded_to_whole_blocks() -> None:
    model = network([node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], {"w": (17, 16, 3, 3)})
    kernels, block = find_kernels(model), block_size()
    assert only(kernels, "conv").c_out == -(-17 // block) * block
    if block > 1:
        assert only(kernels, "reorderoutput").c_out == 17


def test_pooling_and_classifier() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("MaxPool", ["a"], ["p"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            node("GlobalAveragePool", ["p"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("Gemm", ["f", "v"], ["y"]),
        ],
        {"w": (16, 16, 1, 1), "v": (16, 7)},
    )
    kernels = find_kernels(model)
    pool = only(kernels, "maxpool")
    assert (pool.kernel, pool.stride) == ((3, 3), (2, 2))
    # Windows begin at 0, 2, ...: 12 rows need ceil((12 - 3) / 2) + 1 of them.
    assert (pool.out_height, pool.out_width) == (6, 5)
    assert pool.flops == 16 * 6 * 5 * 9
    average = only(kernels, "globalaveragepool")
    assert (average.height, average.width, average.out_height) == (6, 5, 1)
    assert average.flops == 16 * 6 * 5
    gemm = only(kernels, "gemm")
    assert (gemm.c_in, gemm.c_out, gemm.flops) == (16, 7, 2 * 16 * 7)


def test_broadcast_is_a_type_of_its_own() -> None:
    model = network([node("GlobalAveragePool", ["x"], ["g"]), node("Mul", ["x", "g"], ["y"])], {})
    assert only(find_kernels(model), "mul broadcast").operands == 2


def test_int8_is_what_runs_in_int8() -> None:
    """A residual block with a depthwise convolution, a pool and a classifier."""
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4, strides=[2, 2]),
            node("Conv", ["a", "d"], ["b"], pads=[1] * 4, group=24),
            node("Relu", ["b"], ["r"]),
            node("Conv", ["r", "p"], ["c"]),
            node("Add", ["c", "a"], ["s"]),
            node("AveragePool", ["s"], ["m"], kernel_shape=[3, 3], pads=[1] * 4),
            node("HardSigmoid", ["m"], ["h"]),
            node("GlobalAveragePool", ["h"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("Gemm", ["f", "v"], ["y"]),
        ],
        {"w": (24, 16, 3, 3), "d": (24, 1, 3, 3), "p": (24, 24, 1, 1), "v": (24, 7)},
    )
    kernels = [k.configuration for k in INT8.kernels(model)]
    found = {k.kind.removesuffix(" nhwc"): k for k in kernels}
    # The activation is in the range of what the convolution writes.
    assert set(found) >= {
        "quantizelinear", "dequantizelinear", "conv int8", "depthwise-conv int8",
        "pointwise-conv int8", "add int8", "averagepool int8", "hardsigmoid",
        "globalaveragepool int8", "gemm int8",
    }  # fmt: skip
    assert not {"relu", "conv", "add", "averagepool", "gemm"} & set(found)
    seen = found["conv int8"]
    assert (seen.c_in, seen.height, seen.width) == (16, 12, 10)
    assert (seen.c_out, seen.out_height, seen.out_width) == (24, 6, 5)
    assert (seen.kernel, seen.stride, seen.groups, seen.fused_add) == ((3, 3), (2, 2), 1, False)
    assert seen.weights == 24 * 16 * 9
    assert seen.flops == 2 * 24 * 16 * 9 * 6 * 5
    assert (seen.operands, found["add int8"].operands) == (1, 2)
    assert found["depthwise-conv int8"].groups == 24
    assert found["averagepool int8"].flops == 24 * 6 * 5 * 9
    assert found["globalaveragepool int8"].flops == 24 * 6 * 5
    assert (found["gemm int8"].c_in, found["gemm int8"].c_out) == (24, 7)
    assert found["gemm int8"].weights == 24 * 7
    # Scales and zero points are numbers of no type.
    quantised = [k for k in INT8.kernels(model) if k.operator == "QLinearConv"]
    assert all(k.constants == () for k in quantised)


def test_a_max_pool_in_int8_has_its_channels_last() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
            node("MaxPool", ["a"], ["m"], kernel_shape=[3, 2], strides=[2, 2]),
            node("Conv", ["m", "v"], ["y"]),
        ],
        {"w": (24, 16, 3, 3), "v": (8, 24, 1, 1)},
    )
    (kernel,) = [k for k in INT8.kernels(model) if "MaxPool" in k.operator]
    pool = kernel.configuration
    assert pool.kind.removesuffix(" nhwc") == "maxpool int8"
    assert (pool.c_in, pool.height, pool.width) == (24, 12, 10)
    assert (pool.c_out, pool.out_height, pool.out_width) == (24, 5, 5)
    assert pool.flops == 24 * 5 * 5 * 6
    assert kernel.operator != "NhwcMaxPool" or kernel.with_channels(8, 8) is None


def test_a_model_that_is_in_int8_is_read_as_it_is() -> None:
    model = network([node("Conv", ["x", "w"], ["y"])], {"w": (8, 16, 1, 1)})
    feeds = [{"x": np.random.default_rng(0).normal(size=(1, 16, 12, 10)).astype(np.float32)}]
    lowered = to_int8(model, feeds, activations="unsigned")
    found, expected = INT8.kernels(lowered), INT8.kernels(model)
    assert [k.configuration for k in found] == [k.configuration for k in expected]
    # With a scale a channel the same operators run.
    scales = [k.inputs[4] for ks in (found, expected) for k in ks if k.operator == "QLinearConv"]
    assert scales == [(8,), ()]


def test_a_convolution_of_signals_has_a_height_alone() -> None:
    model = network(
        [node("Conv", ["x", "w"], ["y"], strides=[2], pads=[1, 1])],
        {"w": (8, 6, 5)}, image=(1, 6, 40),
    )  # fmt: skip
    seen = only(find_kernels(model), "conv")
    assert (seen.c_in, seen.height, seen.width, seen.out_height) == (6, 40, 1, 19)
    assert (seen.kernel, seen.stride) == ((5, 1), (2, 1))
    assert seen.flops == 2 * 8 * 6 * 5 * 19


def test_free_dimensions_are_refused() -> None:
    model = network([node("Relu", ["x"], ["y"])], {})
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(InvalidValueError, match=r"`onnx` must have inputs of fixed shape.*'x'"):
        find_kernels(model)


def test_channels_can_be_changed_where_they_are_free() -> None:
    conv = Kernel(
        "Conv", "", ((1, 16, 8, 8), (32, 16, 3, 3), (32,), (1, 32, 8, 8)), (1, 32, 8, 8),
        (("group", 1), ("pads", (1, 1, 1, 1))), (1, 2),
    )  # fmt: skip
    other = conv.with_channels(24, 40)
    assert other is not None
    assert other.inputs == ((1, 24, 8, 8), (40, 24, 3, 3), (40,), (1, 40, 8, 8))
    assert other.output == (1, 40, 8, 8)
    depthwise = Kernel(
        "Conv", "", ((1, 16, 8, 8), (16, 1, 3, 3)), (1, 16, 8, 8), (("group", 16),), (1,)
    )
    narrow = depthwise.with_channels(5, 9)
    assert narrow is not None
    assert narrow.configuration.groups == 9
    assert narrow.kind == "depthwise-conv"
    assert Kernel("Concat", "", ((1, 4, 2, 2),) * 2, (1, 8, 2, 2)).with_channels(2, 2) is None
