"""What OpenVINO computes wrongly of int8 without a word, and how a model is kept from it.

Seen with openvino 2026.4.1, see `findings/openvino_int8_signed_concat.sh`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

_MIDDLE = np.array(128, np.uint8)


def unsigned_behind_concat(model: onnx.ModelProto) -> None:
    """Store what Concat gives in uint8 with the zero point 128 instead of in int8 with 0, in place.

    These are the same 256 steps. Of int8, OpenVINO leaves a fraction of the steps.

    Args:
        model: quantised (QDQ), without zero points.
    """
    graph = model.graph
    joined = {name for node in graph.node if node.op_type == "Concat" for name in node.output}
    stored = {
        node.output[0]
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in joined
    }
    middle = "unsigned_zero_point"
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and (
            stored & {node.input[0], node.output[0]}
        ):
            node.input[2] = middle
    if stored:
        graph.initializer.append(numpy_helper.from_array(_MIDDLE, middle))
