"""Kernels of OpenVINO: what its compiled graph says, on any CPU that it runs on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from hwnas.evaluation.cache import ResultCache
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas_predictors.kernels.kernel import Configuration, Kernel
from hwnas_predictors.kernels.predictor import Family
from hwnas_predictors.kernels.profiled_networks import NetworkTimer
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
    if precision == "float32":
        assert conv.activation == "Relu"
        assert [c.fused_add for c in seen(kernels, "pointwise-conv")] == [True]


def test_signals_have_a_height_alone() -> None:
    found = {k.kind.partition(" ")[0]: k.configuration for k in Target("openvino").kernels(SIGNAL)}
    conv, depthwise = found["conv"], found["depthwise-conv"]
    assert (conv.kernel, conv.stride, conv.out_height, conv.groups) == ((5, 1), (2, 1), 19, 1)
    assert (depthwise.kernel, depthwise.groups) == ((3, 1), 8)


def test_chains_of_element_wise_operators_are_one_type() -> None:
    model = network(
        [
            node("Sigmoid", ["x"], ["s"]),
            node("Mul", ["x", "s"], ["m"]),
            node("Sub", ["m", "b"], ["y"]),
        ],
        {"b": (1, 16, 12, 10)},
    )
    (chain,) = seen(Target("openvino").kernels(model), "elementwise")
    assert chain.kernel[0] in (1, 2, 3)
    assert (chain.c_in, chain.height, chain.width) == (16, 12, 10)


def test_the_kernels_of_a_network_sum_to_it() -> None:
    space, target = NasBench201(channels=8, cells=1), Target("openvino")
    model = Family(space, get_task("cifar10")).network(space.sample(np.random.default_rng(0)))
    cache = ResultCache(None)
    whole = WholeTimer(target, 0.05, cache)
    latencies = NetworkTimer(target, whole, 0.01, cache)(model)
    assert len(latencies) == len(target.kernels(model))
    assert (latencies > 0).all()
    assert latencies.sum() == pytest.approx(whole(model))
