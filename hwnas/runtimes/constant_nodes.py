"""ONNX models without nodes that compute constants, for converters that compute them wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper, numpy_helper

from hwnas.runtimes.onnxruntime_session import open_session


def without_constant_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a model that holds the values of what does not depend on its input.

    Args:
        model: with constant shapes; returned as it is where there is nothing to compute.
    """
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    constant: list[onnx.NodeProto] = []
    alive: list[onnx.NodeProto] = []
    for node in graph.node:
        if all(name in known for name in node.input if name):
            constant.append(node)
            known.update(node.output)
        else:
            alive.append(node)
    used = {name for node in alive for name in node.input}
    wanted = sorted({name for node in constant for name in node.output} & used)
    if not wanted or any(value.name in known for value in graph.output):
        return model
    found: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    del found.graph.node[:]
    found.graph.node.extend(alive)
    found.graph.initializer.extend(_computed(model, constant, wanted))
    return found


def _computed(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]
) -> list[onnx.TensorProto]:
    """Run the nodes alone."""
    graph = helper.make_graph(
        nodes,
        "constants",
        [],
        [helper.make_empty_tensor_value_info(name) for name in wanted],
        model.graph.initializer,
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    values = open_session(alone.SerializeToString(), optimise=False).run(wanted, {})
    return [numpy_helper.from_array(v, name) for name, v in zip(wanted, values, strict=True)]
