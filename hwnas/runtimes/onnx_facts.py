"""What an ONNX model says of itself: number formats, and whether its batch is free."""

from __future__ import annotations

from collections import Counter
from math import prod

import onnx
from onnx import TensorProto

_NAMES = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "int4",
}


def precision_of(model: bytes | str) -> str:
    """Give the format that most of a model's weights are in; float32 where there are none.

    A quantised model (QDQ) is in int8 however much of it stays in float32, such as an LSTM.
    """
    graph = _graph(model)
    elements: Counter[str] = Counter()
    integers = {t.name for t in graph.initializer if _NAMES.get(t.data_type) == "int8"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and not integers.isdisjoint(node.input):
            return "int8"
    for tensor in graph.initializer:
        if tensor.data_type in _NAMES:
            elements[_NAMES[tensor.data_type]] += prod(tensor.dims)
    return elements.most_common(1)[0][0] if elements else "float32"


_MOVES = frozenset(
    (
        "Cast", "Concat", "DequantizeLinear", "Flatten", "Gather", "Identity", "QuantizeLinear",
        "ReorderInput", "ReorderOutput", "Reshape", "Shape", "Slice", "Split", "Squeeze",
        "Transpose", "Unsqueeze",
    )
)  # fmt: skip
"""Operators that compute nothing: they move, cut or convert."""
_DATA = {"QLinearConcat": 2, "QLinearWhere": 1, "Where": 1}
"""Where data stand that are not the first input, which is a scale or a condition."""


def computed_in(model: bytes | str) -> dict[str, Counter[str]]:
    """Count the nodes that compute, by the number format of what they get and by operator.

    Of an optimised graph this is what runs: a format that a runtime has no kernel for is gone.
    """
    graph, found = _graph(model), dict[str, Counter[str]]()
    formats = {t.name: _NAMES.get(t.data_type, "") for t in graph.initializer}
    formats |= {v.name: _NAMES.get(v.type.tensor_type.elem_type, "") for v in graph.input}
    for node in graph.node:
        data = node.input[_DATA.get(node.op_type, 0) :]
        first = formats.get(data[0], "") if data else ""
        if first and node.op_type not in _MOVES:
            found.setdefault(first, Counter())[node.op_type] += 1
        given = {"QuantizeLinear": "int8", "DequantizeLinear": "float32"}.get(node.op_type, first)
        if node.op_type == "Cast":
            given = next((_NAMES.get(a.i, "") for a in node.attribute if a.name == "to"), first)
        formats |= dict.fromkeys(node.output, given)
    return found


def has_free_batch(model: bytes | str) -> bool:
    """Tell whether the first dimension of the first input is left open."""
    graph = _graph(model)
    dims = graph.input[0].type.tensor_type.shape.dim if graph.input else []
    return bool(dims) and not dims[0].HasField("dim_value")


def undeclared_inputs(model: bytes | str) -> frozenset[str]:
    """Give the names of the inputs that do not even declare how many dimensions they have."""
    inputs = _graph(model).input
    return frozenset(v.name for v in inputs if not v.type.tensor_type.HasField("shape"))


def _graph(model: bytes | str) -> onnx.GraphProto:
    """Read the graph; an empty one if there is none, since what loads it says what is wrong."""
    try:
        if isinstance(model, bytes):
            return onnx.load_from_string(model).graph
        return onnx.load(model, load_external_data=False).graph
    except Exception:  # Protobuf has an error of its own, which has no types.
        return onnx.GraphProto()
