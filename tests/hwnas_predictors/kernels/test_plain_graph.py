"""Kernels of other runtimes and precisions: what is joined, and the model of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from hwnas.errors import UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas_predictors.kernels import single_kernels
from hwnas_predictors.kernels.fused_graph import find_kernels
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_timer import KernelTimer
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.plain_model import needs_pool, plain_model, pool_before
from hwnas_predictors.kernels.predictor import Family
from hwnas_predictors.kernels.single_kernels import EMPTY, LEAST_MS, OneByOne
from hwnas_predictors.kernels.target import Target
from tests.hwnas_predictors.kernels.conftest import network

IMAGE = (1, 16, 12, 10)
SQUARE: dict[str, tuple[int, ...]] = {"w": (16, 16, 1, 1), "v": (16, 16, 1, 1)}
CONV = helper.make_node("Conv", ["x", "w"], ["a"])


def kinds(nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> list[str]:
    found = [kernel.configuration for kernel in find_plain_kernels(network(nodes, weights))]
    return [f"{c.kind} {c.activation} {'+' if c.fused_add else ''}".strip() for c in found]


def test_a_convolution_takes_in_what_only_follows_it() -> None:
    other = helper.make_node("Conv", ["x", "v"], ["b"])
    add = helper.make_node("Add", ["a", "b"], ["s"])
    act = helper.make_node("HardSwish", ["s"], ["y"])
    # Of the two that are added one takes the sum, and the activation of it.
    assert sorted(kinds([CONV, other, add, act], SQUARE)) == [
        "pointwise-conv", "pointwise-conv HardSwish +",
    ]  # fmt: skip
    # What is read twice is no inner tensor of a kernel.
    relu = helper.make_node("Relu", ["a"], ["r"])
    twice = helper.make_node("Mul", ["a", "r"], ["y"])
    assert kinds([CONV, relu, twice], SQUARE) == ["pointwise-conv", "relu", "mul"]


def test_equal_branches_are_one_kernel_and_views_none() -> None:
    pool: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    branches = [helper.make_node("AveragePool", ["x"], [name], **pool) for name in "abc"]
    joined = [helper.make_node("Sum", ["a", "b", "c"], ["s"]),
              helper.make_node("Flatten", ["s"], ["y"])]  # fmt: skip
    model = network([*branches, *joined], {})
    assert [k.operator for k in find_plain_kernels(model)].count("AveragePool") == 1
    assert [k.operator for k in find_kernels(model)].count("AveragePool") == 1
    assert "flatten" not in [k.kind for k in find_plain_kernels(model)]


@pytest.mark.parametrize("activation", ["Relu", "Clip", "HardSwish", "LeakyRelu", "HardSigmoid"])
def test_the_model_of_a_kernel_computes_what_its_nodes_do(activation: str) -> None:
    extra = ["lo", "hi"] if activation == "Clip" else []
    given: Any = {"LeakyRelu": {"alpha": 0.3}, "HardSigmoid": {"alpha": 0.1}}.get(activation, {})
    act = helper.make_node(activation, ["a", *extra], ["y"], **given)
    proto = network([CONV, act], {"w": SQUARE["w"]})
    for name, end in zip(extra, (-0.25, 2.0), strict=False):
        array = np.array(end, dtype=np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    (kernel,) = find_plain_kernels(proto)
    assert kernel.configuration.activation == activation
    made = plain_model(kernel, seed=3)
    onnx.checker.check_model(made)
    image = np.random.default_rng(0).standard_normal(IMAGE, dtype=np.float32)
    run = onnxruntime.InferenceSession(made.SerializeToString()).run
    (found,) = run(None, {"input": image})
    weight = numpy_helper.to_array(made.graph.initializer[0])[:, :, 0, 0]
    plain = np.einsum("oc,bchw->bohw", weight, image)
    expected = {
        "Relu": np.maximum(plain, 0),
        "Clip": np.clip(plain, -0.25, 2.0),
        "HardSwish": plain * np.clip(plain / 6 + 0.5, 0, 1),
        "LeakyRelu": np.where(plain > 0, plain, 0.3 * plain),
        "HardSigmoid": np.clip(0.1 * plain + 0.5, 0, 1),
    }[activation]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_further_images_are_constants_and_other_channels_run() -> None:
    shape, gate = IMAGE, (1, 16, 1, 1)
    for kernel in (
        Kernel("Mul", "", (shape, gate), shape),
        Kernel("Concat", "", (shape, shape), (1, 32, 12, 10), (("axis", 1),)),
        Kernel("FusedConv", "com.microsoft", (shape, (16, 16, 3, 3), (16,), shape), shape,
               (("activation", "Relu"), ("activation_params", ()), ("pads", (1, 1, 1, 1))), (1, 2)),
    ):  # fmt: skip
        session = onnxruntime.InferenceSession(plain_model(kernel).SerializeToString())
        assert [value.name for value in session.get_inputs()] == ["input"]
        (found,) = session.run(None, {"input": np.zeros(shape, dtype=np.float32)})
        assert found.shape == kernel.output
    wider = kernel.with_channels(24, 24)
    assert wider is not None
    assert plain_model(wider).graph.output[0].type.tensor_type.shape.dim[1].dim_value == 24


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_indices_are_no_weights(kind: type[np.integer[Any]]) -> None:
    gather = helper.make_node("Gather", ["x", "i"], ["y"], axis=1)
    proto = network([gather], {})
    proto.graph.initializer.append(numpy_helper.from_array(np.array([3, 5], dtype=kind), "i"))
    (kernel,) = find_plain_kernels(proto)
    assert (kernel.weights, kernel.constants) == ((), ((1, (3, 5)),))
    assert find_kernels(proto)[0].weights == ()
    image = np.random.default_rng(0).standard_normal(IMAGE, dtype=np.float32)
    run = onnxruntime.InferenceSession(plain_model(kernel).SerializeToString()).run
    np.testing.assert_array_equal(run(None, {"input": image})[0], image[:, [3, 5]])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_litert_s_kernels_are_timed(precision: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    space = NasBench201(channels=8, cells=1)
    arch = space.parse("|nor_conv_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+"
                       "|skip_connect~0|none~1|nor_conv_1x1~2|")  # fmt: skip
    target = Target("litert", precision)
    kernels = target.kernels(Family(space, get_task("cifar10")).network(arch))
    large = replace(
        next(k for k in kernels if k.kind == "conv"),
        inputs=((1, 64, 32, 32), (64, 64, 3, 3), (64,)), output=(1, 64, 32, 32),
    )  # fmt: skip
    some = list({kernel.kind: kernel for kernel in kernels}.values())
    latencies = KernelTimer(target, max_seconds=0.04)([*some, large])
    assert np.isfinite(latencies).all()
    # 75 million operations beside thousands.
    assert latencies[-1] > 3 * np.median(latencies[:-1])


def test_targets_are_checked() -> None:
    with pytest.raises(UnknownNameError, match=r"runtime of ONNX models.*got 'torch'"):
        Target("torch")
    with pytest.raises(UnknownNameError, match="precision of onnxruntime"):
        Target(precision="int4")
    assert Target(precision="fp32").profiled
    assert Target(precision="int8").profiled
    assert str(Target(precision="int8", threads=2).key()).endswith("/int8/b1/t2")


@pytest.mark.parametrize(
    ("runtime", "package", "profiled"),
    [("openvino", "openvino", True), ("litert", "ai_edge_litert", False)],
)
def test_targets_of_other_runtimes_say_whether_they_are_profiled(
    runtime: str, package: str, profiled: bool
) -> None:
    pytest.importorskip(package, reason=f"needs the extra {runtime}")
    assert Target(runtime).profiled == profiled


def test_a_pool_before_a_kernel_changes_nothing() -> None:
    shape = (1, 6, 5, 4)
    add = Kernel("Add", "", (shape, (1, 6, 1, 1)), shape)
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    alone, behind = (
        onnxruntime.InferenceSession(plain_model(add, 3, behind_pool=pooled).SerializeToString())
        for pooled in (False, True)
    )
    np.testing.assert_array_equal(*(s.run(None, {"input": image})[0] for s in (alone, behind)))
    found = [needs_pool(k) for k in (add, pool_before(add), EMPTY)]
    assert found == [True, False, False]
    transpose = Kernel("Transpose", "", ((1, 2, 3, 4, 5),), (1, 3, 2, 4, 5))
    assert not needs_pool(transpose)  # it has five dimensions, which no pool takes


def test_the_latency_of_a_pool_before_a_kernel_is_taken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a runtime without batches: a node takes 1 ms, a convolution 5, and each call 10."""
    shape = (1, 8, 4, 4)
    relu, conv = Kernel("Relu", "", (shape,), shape), replace(EMPTY, inputs=(shape, (8, 8, 1, 1)))

    def together(_: Target, models: Sequence[onnx.ModelProto], *__: Any) -> list[float]:
        nodes = [[node.op_type for node in model.graph.node] for model in models]
        return [10.0 + sum(5 if n == "Conv" else 1 for n in names) for names in nodes]

    monkeypatch.setattr(Target, "together_ms", together)
    monkeypatch.setattr(single_kernels, "EMPTY", pool_before(relu))  # 11 ms
    kernels = [relu, replace(conv, output=shape), relu]
    np.testing.assert_allclose(OneByOne(Target(), 1.0, 0)(kernels), [LEAST_MS, 4, LEAST_MS])
    monkeypatch.setattr(Target, "batchless", True)
    np.testing.assert_allclose(OneByOne(Target(), 1.0, 0)(kernels), [1, 4, 1])
