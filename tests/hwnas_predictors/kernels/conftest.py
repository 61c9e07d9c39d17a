"""Small ONNX graphs whose fused kernels are known, and predictors of closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.typing import DeviceKey
from hwnas_predictors.kernels.calibration import Calibration
from hwnas_predictors.kernels.features import NAMES
from hwnas_predictors.kernels.fused_graph import block_size, find_kernels
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.regressors import Ridge

RUNTIME = f"onnxruntime-{onnxruntime.__version__}"
SMALL = NasBench201(channels=8, cells=1)
CIFAR10 = get_task("cifar10")
EVERY = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
"""A cell of every operation."""


def network(
    nodes: list[onnx.NodeProto],
    weights: dict[str, tuple[int, ...]],
    image: tuple[int, ...] = (1, 16, 12, 10),
    out: tuple[int, ...] | None = None,
) -> onnx.ModelProto:
    """Make a model from ``x`` to ``y`` with random weights."""
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(0.1 + rng.random(shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    value: Any = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [value("x", TensorProto.FLOAT, image)],
        [value("y", TensorProto.FLOAT, out)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def per_byte(nanoseconds: float) -> Ridge:
    """A regressor whose latency is exactly so many ns for each byte."""
    weights = np.zeros(len(NAMES))
    weights[NAMES.index("bytes")] = 1.0
    zero = np.zeros(len(NAMES))
    return Ridge(zero, zero + 1, weights, np.array([np.log(nanoseconds * 1e-6)]))


def made(space: NasBench201 = SMALL) -> KernelPredictor[Any]:
    rng = np.random.default_rng(0)
    family = Family(space, CIFAR10)
    archs = [space.parse(EVERY)]
    archs += [space.sample(rng) for _ in range(30)]
    kinds = {k.kind for arch in archs for k in find_kernels(family.network(arch))}
    return KernelPredictor(
        regressors={kind: per_byte(1.0 + i) for i, kind in enumerate(sorted(kinds))},
        methods=dict.fromkeys(kinds, "ridge"),
        device=DeviceKey("cpu", RUNTIME, threads=1),
        block=block_size(),
        calibration=Calibration(overhead_ms=0.25, kernel_overhead_ms=0.01, scale=1.5),
        relative_std=0.05,
        fingerprint="a CPU",
        family=family,
    )


@pytest.fixture(scope="module")
def predictor() -> KernelPredictor[Any]:
    return made()
