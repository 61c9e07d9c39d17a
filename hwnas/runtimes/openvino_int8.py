"""What OpenVINO computes wrongly of int8 without a word, and how a model is kept from it.

Seen with openvino 2026.4.1, see `findings/openvino_int8_signed_concat.sh` and
`findings/openvino_int8_sums_of_several_sequences.sh`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

_MIDDLE = np.array(128, np.uint8)
_SUMS = ("ReduceMean", "ReduceSum")


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


def sums_in_four_dimensions(model: onnx.ModelProto) -> None:
    """Take sums and means of several sequences `(B, T, C)` over T in `(B, 1, T, C)`, in place.

    Of three dimensions in int8, OpenVINO sums those of the first example alone; those over C too
    where T is 1.

    Args:
        model: quantised (QDQ), of operator set 13 or later.
    """
    graph, shapes = model.graph, _shapes(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        shape = shapes.get(node.input[0], ()) if node.op_type in _SUMS else ()
        axes = _axes(node, constants) if len(shape) == 3 and shape[0] != 1 else set[int]()
        if axes and 0 not in axes and (1 in axes or shape[1] == 1):
            nodes += _in_four_dimensions(node, axes, graph)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _in_four_dimensions(
    node: onnx.NodeProto, axes: set[int], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """Give the nodes that reduce with one more dimension behind the first.

    It is among those that are reduced, as is T where it is 1: others of one place OpenVINO would
    take out again.
    """
    name = node.output[0]
    one, gone, wide, kept = (f"{name}_{n}" for n in ("dimension", "dimensions", "wide", "kept"))
    twin = onnx.NodeProto.FromString(node.SerializeToString())
    twin.input[0], twin.output[0] = wide, kept
    reduced = sorted(axis + 1 for axis in axes)
    over = sorted({1, 2, *reduced})
    keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
    constants = {one: [1], gone: [1] if keep else [1, *reduced]}
    if len(node.input) > 1:
        twin.input[1] = f"{name}_axes"
        constants[twin.input[1]] = over
    for attribute in [a for a in twin.attribute if a.name in ("axes", "keepdims")]:
        if attribute.name == "axes":
            attribute.ints[:] = over
        else:
            attribute.i = 1
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()
    )
    return [
        helper.make_node("Unsqueeze", [node.input[0], one], [wide]),
        twin,
        helper.make_node("Squeeze", [kept, gone], [name]),
    ]


def _axes(node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> set[int]:
    """Give the axes that a reduction of three dimensions names; none if they are computed."""
    given = [axis for a in node.attribute if a.name == "axes" for axis in a.ints]
    if len(node.input) > 1:
        given = np.ravel(constants.get(node.input[1], [])).tolist()
    return {axis % 3 for axis in given}


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Give what is known of the tensors' shapes, 0 for a length that is not."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
