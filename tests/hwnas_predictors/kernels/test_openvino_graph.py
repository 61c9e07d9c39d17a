"""Kernels of OpenVINO: what its compiled graph says, on any CPU that it runs on."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.tables.result import Result
from hwnas_predictors.kernels import profiled_networks
from hwnas_predictors.kernels.features import features
from hwnas_predictors.kernels.kernel import Configuration, Kernel
from hwnas_predictors.kernels.profiled_networks import NetworkTimer, profile
from hwnas_predictors.kernels.profilers import layer_times
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer
from tests.hwnas_predictors.kernels.conftest import network

pytest.importorskip("openvino", reason="needs the extra openvino")
node = helper.make_node
POOL: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 1]}
MODEL = network(
    [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "d"], ["b"], pads=[2] * 4, group=16),
        node("Conv", ["b", "p"], ["c"]),
        node("Add", ["c", "r"], ["s"]),
        node("Conv", ["s", "g"], ["e"], group=2),
        node("MaxPool", ["e"], ["m"], **POOL),
        node("MaxPool", ["e"], ["n"], **POOL),
        node("Add", ["m", "n"], ["q"]),
        node("GlobalAveragePool", ["q"], ["l"]),
        node("Flatten", ["l"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ],
    {"w": (16, 16, 3, 3), "d": (16, 1, 5, 5), "p": (16, 16, 1, 1), "g": (16, 8, 1, 1),
     "v": (16, 7)},
)  # fmt: skip
SIGNAL = network(
    [node("Conv", ["x", "w"], ["a"], strides=[2], pads=[1, 1]),
     node("Conv", ["a", "d"], ["y"], group=8, pads=[1, 1])],
    {"w": (8, 6, 5), "d": (8, 1, 3)}, image=(1, 6, 40),
)  # fmt: skip


def seen(kernels: list[Kernel], start: str) -> list[Configuration]:
    return [k.configuration for k in kernels if k.kind.startswith(start)]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_layers_are_kernels_with_windows_groups_and_channels(precision: str) -> None:
    kernels = Target("openvino", precision).kernels(MODEL)
    (conv,), (depthwise,), (pool,) = (seen(kernels, k) for k in ("conv ", "depthwise", "maxpool"))
    assert (conv.c_in, conv.height, conv.width) == (16, 12, 10)
    assert (conv.c_out, conv.out_height, conv.out_width) == (16, 6, 5)
    assert (conv.kernel, conv.stride, conv.weights) == ((3, 3), (2, 2), 16 * 16 * 9)
    assert (depthwise.groups, depthwise.kernel) == (16, (5, 5))
    (grouped,) = seen(kernels, "grouped-conv")
    assert (grouped.groups, grouped.weights) == (2, 16 * 8)
    # Two equal pools are one.
    assert (pool.kernel, pool.stride, pool.out_height, pool.out_width) == ((3, 3), (2, 1), 3, 5)
    assert len(seen(kernels, "gemm")) == 1
    assert len({k.model_weights for k in kernels}) == 1
    assert conv.activation == "Relu"
    if precision == "float32":
        assert [c.fused_add for c in seen(kernels, "pointwise-conv")] == [True]


def test_signals_have_a_height_alone() -> None:
    found = {k.kind.partition(" ")[0]: k.configuration for k in Target("openvino").kernels(SIGNAL)}
    conv, depthwise = found["conv"], found["depthwise-conv"]
    assert (conv.kernel, conv.stride, conv.out_height, conv.groups) == ((5, 1), (2, 1), 19, 1)
    assert (depthwise.kernel, depthwise.groups) == ((3, 1), 8)


def test_chains_of_element_wise_operators_are_one_type() -> None:
    model = network(
        [
            node("Erf", ["x"], ["e"]),
            node("Mul", ["e", "x"], ["m"]),
            node("Sub", ["m", "b"], ["y"]),
        ],
        {"b": (1, 16, 12, 10)},
    )
    chains = seen(Target("openvino").kernels(model), "elementwise")
    # In one chain, where the CPU has programs for that.
    assert sum(chain.kernel[0] for chain in chains) == 3
    assert [chain.activation for chain in chains if chain.activation] == ["Erf"]
    assert {(c.c_in, c.height, c.width) for c in chains} == {(16, 12, 10)}


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(
    ("image", "weights", "settings", "strides"),
    [
        ((9, 9), (8, 16, 7, 7), {}, (1, 1)),
        ((1, 1), (8, 16, 1, 1), {"pads": [1] * 4}, (1, 1)),
        ((9, 9), (16, 1, 7, 7), {"group": 16, "strides": [2, 1]}, (2, 1)),
    ],
)
def test_strides_do_not_follow_from_shapes(
    image: tuple[int, int],
    weights: tuple[int, ...],
    settings: dict[str, Any],
    strides: tuple[int, int],
    precision: str,
) -> None:
    conv = node("Conv", ["x", "w"], ["y"], **settings)
    model = network([conv], {"w": weights}, image=(1, 16, *image))
    kernels = Target("openvino", precision).kernels(model)
    (found,) = [k.configuration for k in kernels if "conv" in k.kind]
    assert found.stride == strides
    assert np.isfinite(features([found])).all()


def norm(x: str, y: str) -> onnx.NodeProto:
    return node("BatchNormalization", [x, "b", "b", "b", "b"], [y], name=f"norm {x}")


def test_a_convolution_whose_name_a_batch_norm_took_has_its_strides_and_its_activation() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], name="first"),
            norm("a", "c"),
            node("Conv", ["c", "v"], ["d"], strides=[2, 2], pads=[1] * 4, name="second"),
            norm("d", "e"),
            node("Relu", ["e"], ["y"], name="third"),
        ],
        {"w": (16, 16, 7, 7), "v": (16, 16, 3, 3), "b": (16,)}, image=(1, 16, 9, 9),
    )  # fmt: skip
    found = seen(Target("openvino").kernels(model), "conv ")
    assert [(c.stride, c.activation) for c in found] == [((1, 1), ""), ((2, 2), "Relu")]


def test_strides_that_openvino_moves_to_the_convolutions_before_stand_there() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
            norm("a", "b1"),
            node("Relu", ["b1"], ["r"]),
            node("Conv", ["r", "p"], ["c"]),
            norm("c", "d1"),
            node("Conv", ["d1", "q"], ["e"], strides=[2, 2]),
            norm("e", "y"),
        ],
        {"w": (16, 16, 3, 3), "p": (16, 16, 1, 1), "q": (16, 16, 1, 1), "b": (16,)},
        image=(1, 16, 12, 12),
    )  # fmt: skip
    found = seen(Target("openvino").kernels(model), "conv ")
    found += seen(Target("openvino").kernels(model), "pointwise-conv")
    assert [c.stride for c in found] == [(2, 2), (1, 1), (1, 1)]
    assert [(c.height, c.out_height) for c in found] == [(12, 6), (6, 6), (6, 6)]


@pytest.mark.parametrize(
    ("side", "kernel", "stride"), [(2, 3, 2), (4, 5, 2), (4, 7, 4), (12, 3, 1)]
)
def test_padding_that_a_convolution_takes_in_leaves_its_strides(
    side: int, kernel: int, stride: int
) -> None:
    around = kernel // 2
    model = network(
        [
            node("Pad", ["x", "around"], ["a"]),
            node("Conv", ["a", "w"], ["c"], strides=[stride] * 2),
            node("Relu", ["c"], ["y"]),
        ],
        {"w": (16, 16, kernel, kernel)},
        image=(1, 16, side, side),
    )
    pads = np.array([0, 0, around, around] * 2, dtype=np.int64)
    model.graph.initializer.append(numpy_helper.from_array(pads, "around"))
    (found,) = [k.configuration for k in Target("openvino").kernels(model) if "conv" in k.kind]
    assert (found.height, found.stride) == (side, (stride, stride))


def test_of_two_with_the_same_weights_the_one_whose_image_is_large_enough_is_meant() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
            norm("a", "b1"),
            node("Relu", ["b1"], ["r"]),
            node("Conv", ["r", "q"], ["c"], strides=[2, 2]),
            norm("c", "d1"),
            node("Relu", ["d1"], ["s"]),
            node("MaxPool", ["s"], ["m"], kernel_shape=[3, 3], strides=[3, 3]),
            node("Conv", ["m", "v"], ["e"], pads=[1] * 4),
            norm("e", "f1"),
            node("Relu", ["f1"], ["y"]),
        ],
        {"w": (16, 16, 3, 3), "v": (16, 16, 3, 3), "q": (16, 16, 1, 1), "b": (16,)},
        image=(1, 16, 24, 24),
    )
    found = seen(Target("openvino").kernels(model), "conv ")
    assert {(c.height, c.stride) for c in found} == {(24, (2, 2)), (4, (1, 1))}


def test_an_output_alone_does_not_make_a_smaller_convolution_the_one_that_is_meant() -> None:
    """The last has the weights and the output that the first has once strides came to it."""
    nodes, before = [], "x"
    for number, (weights, strides) in enumerate([("w", 1), ("v", 3), ("w2", 1)]):
        conv = node("Conv", [before, weights], [f"a{number}"], strides=[strides] * 2)
        before = f"r{number}"
        relu = node("Relu", [f"n{number}"], [before])
        bias = "b16" if weights == "v" else "b32"
        scaled = node("BatchNormalization", [f"a{number}", *[bias] * 4], [f"n{number}"])
        nodes += [conv, scaled, relu]
    model = network(
        [*nodes, node("Identity", [before], ["y"])],
        {"w": (32, 16, 1, 1), "v": (16, 32, 1, 1), "w2": (32, 16, 1, 1), "b16": (16,),
         "b32": (32,)}, image=(1, 16, 24, 24),
    )  # fmt: skip
    found = seen(Target("openvino").kernels(model), "pointwise-conv")
    assert [(c.height, c.stride) for c in found] == [(24, (3, 3)), (8, (1, 1)), (8, (1, 1))]


def test_a_convolution_that_may_be_either_of_two_is_refused() -> None:
    """Both from 9 to 3 rows, and neither is named."""
    sides: list[dict[str, Any]] = [{}, {"strides": [3, 3], "pads": [2] * 4}]
    nodes = []
    for i, settings in enumerate(sides):
        nodes += [node("Conv", ["x", "w"], [f"a{i}"], **settings), norm(f"a{i}", f"n{i}")]
    model = network(
        [*nodes, node("Concat", ["n0", "n1"], ["y"], axis=1)],
        {"w": (16, 16, 7, 7), "b": (16,)}, image=(1, 16, 9, 9),
    )  # fmt: skip
    with pytest.raises(InvalidValueError, match=r"one of 2 with 2 different strides: leave"):
        Target("openvino").kernels(model)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", ["Relu", "Clip", "HardSwish", "LeakyRelu", "Sigmoid", ""])
def test_activations_have_onnx_s_names(name: str, precision: str) -> None:
    numbers = ["low", "high"] if name == "Clip" else []
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
            node(name or "Softmax", ["a", *numbers], ["y"]),
        ],
        {"w": (16, 16, 3, 3)},
    )
    for end, value in zip(numbers, (0.0, 6.0), strict=False):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), end))
    (conv,) = seen(Target("openvino", precision).kernels(model), "conv ")
    # In int8 a clip is the range of what is written, and HardSwish stands by itself.
    absent = precision == "int8" and name in ("Clip", "HardSwish")
    assert conv.activation == ("" if absent else name)


def test_what_is_computed_of_constants_alone_is_no_kernel() -> None:
    """OpenVINO turns weights once, when it compiles."""
    model = network([node("MatMul", ["x", "w"], ["y"])], {"w": (10, 8)})
    target = Target("openvino")
    (gemm,) = seen(target.kernels(model), "")
    assert gemm.kind.startswith("gemm")
    assert gemm.operands == 1
    with target.profiler(model) as profiled:
        profiled.run()
        assert profiled.times().shape == (1, 1)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_free_dimensions_are_refused(precision: str) -> None:
    model = network([node("Conv", ["x", "w"], ["y"])], {"w": (8, 16, 1, 1)})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(InvalidValueError, match=r"`onnx` must have inputs of fixed shape.*'x'"):
        Target("openvino", precision).kernels(model)


def test_kernels_share_their_network_by_the_times_that_openvino_tells() -> None:
    model = network(
        [
            node("Conv", ["x", "w"], ["a"], pads=[2] * 4),
            node("Conv", ["a", "v"], ["y"]),
        ],
        {"w": (64, 16, 5, 5), "v": (4, 64, 1, 1)}, image=(1, 16, 32, 32),
    )  # fmt: skip
    target, cache = Target("openvino"), ResultCache(None)
    whole = WholeTimer(target, 0.05, cache)
    latencies = NetworkTimer(target, whole, 0.3, cache)(model)  # means, of which others take part
    by_kind = dict(zip([k.kind for k in target.kernels(model)], latencies, strict=True))
    wide, narrow = (next(k for k in by_kind if k.startswith(n)) for n in ("conv", "pointwise"))
    # A hundred times the operations.
    assert by_kind[wide] > 4 * by_kind[narrow]
    # Before they are scaled they are ms, too.
    times, _ = profile(target.profiler(model), target, 0.01)
    assert whole(model) / 10 < times.sum() < 10 * whole(model)


def test_a_layer_that_openvino_does_not_time_is_named() -> None:
    told = [
        SimpleNamespace(node_name=name, real_time=timedelta(microseconds=time))
        for name, time in (("b", 0), ("a", 7), ("other", 9))
    ]
    np.testing.assert_allclose(layer_times(told, ["a", "b"]), [[7e-3, 0.0]])
    with pytest.raises(InvalidValueError, match=r"no time of 1 of 2, e\.g\. 'c': leave"):
        layer_times(told, ["a", "c"])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_networks_that_were_quantised_otherwise_are_measured_anew(precision: str) -> None:
    target, cache = Target("openvino", precision), ResultCache(None)
    content = hashlib.sha256(MODEL.SerializeToString()).hexdigest()
    host = host_fingerprint(target.made().packages)
    before = f"network-latency 3|{host}|{target!r}|max_seconds=0.05|{content}"
    cache.put({before: Result(1.0)})
    assert WholeTimer(target, 0.05, cache).knows(MODEL) == (precision == "float32")


def test_profiles_with_what_is_computed_of_constants_are_measured_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = network([node("MatMul", ["x", "w"], ["y"])], {"w": (10, 8)})
    target, cache = Target("openvino"), ResultCache(None)
    content = hashlib.sha256(model.SerializeToString()).hexdigest()
    host = host_fingerprint(target.made().packages)
    before = f"network-profile 1|{host}|{target!r}|max_seconds=0.05|{content}"
    cache.put({before: Result(2.0, detail={"kernels_ms": [1.0, 1.0], "each": False})})
    whole = WholeTimer(target, 0.05, cache)
    monkeypatch.setattr(WholeTimer, "__call__", lambda *_: 3.0)
    monkeypatch.setattr(profiled_networks, "profile", lambda *_: (np.ones(1), False))
    np.testing.assert_array_equal(NetworkTimer(target, whole, 0.05, cache)(model), [3.0])
