"""Small ONNX graphs whose fused kernels are known, and predictors of closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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
