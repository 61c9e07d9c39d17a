"""The kernels of a network as ONNX Runtime's CPU provider executes them.

ONNX Runtime folds batch norms, fuses activations and residual sums into convolutions, and moves
convolutions to a layout with channels in blocks where the CPU has vector instructions for it. Of a
network in int8 it makes operators that compute in int8, those with windows with channels last, and
leaves conversions around what it has no such operator for. The graph after all that is what it
writes to `SessionOptions.optimized_model_filepath`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import InvalidValueError
from hwnas.runtimes.onnxruntime_session import load_model_bytes, open_session
from hwnas_predictors.kernels.kernel import Attribute, Kernel, Shape

_WEIGHTS = frozenset(
    (
        *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE),
        *(TensorProto.INT8, TensorProto.UINT8),
    )
)
"""Formats of weights, scales and zero points; other constants say what an operator does."""
_QUANTISED = ("Q", "DequantizeLinear")
"""Begin the names of operators whose biases and zero points are int32; of others it is indices."""


def fused_graph(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    """Give the graph that ONNX Runtime's CPU provider executes on this host.

    Args:
        model: the network, quantised where it runs in int8.

    Returns:
        The optimised model, with operators of ONNX Runtime's own domains.

    Raises:
        InvalidValueError: ONNX Runtime cannot load the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        open_session(load_model_bytes(model), optimised_path=str(path))
        return onnx.load(path)


@cache
def block_size() -> int:
    """Give the channels of a block on this host's CPU; 1 where there are no blocks."""
    # Blocks pad 33 output channels to a multiple of their size.
    weight = helper.make_tensor("w", TensorProto.FLOAT, [33, 4, 3, 3], np.zeros(33 * 4 * 9))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 33, 8, 8])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    channels = max(t.dims[0] for t in fused_graph(model).graph.initializer if len(t.dims) == 4)
    return {33: 1, 40: 8, 48: 16}[channels]


def find_kernels(model: onnx.ModelProto | bytes) -> list[Kernel]:
    """List the kernels of a network in the order of execution.

    Args:
        model: the network, with fixed shapes, quantised where it runs in int8.

    Raises:
        InvalidValueError: a shape is not fixed, or a node cannot stand by itself.
    """
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else model
    return kernels_of(fused_graph(proto), original_shapes(proto))


def kernels_of(fused: onnx.ModelProto, known: Mapping[str, Shape]) -> list[Kernel]:
    """List the kernels of a fused graph.

    Args:
        fused: what `fused_graph` gives.
        known: shapes of the tensors that the graph has in common with the original one, where ONNX
            Runtime does not infer them.

    Raises:
        InvalidValueError: the shape of a tensor is not known, or a node cannot stand by itself.
    """
    tensors = {tensor.name: tensor for tensor in fused.graph.initializer}
    constants = {name: tuple(t.dims) for name, t in tensors.items()}
    shapes = {**known, **inferred_shapes(fused), **constants}
    versions = {o.domain: o.version for o in fused.opset_import}
    kernels = []
    for node in fused.graph.node:
        attributes = {a.name: _attribute(node, a) for a in node.attribute}
        missing = [n for n in (*node.input, node.output[0]) if n and n not in shapes]
        if missing:
            raise _unknown(node, missing[0])
        inputs = tuple(shapes[name] if name else None for name in node.input)
        kernels.append(
            Kernel(
                operator=node.op_type,
                domain=node.domain,
                inputs=inputs,
                output=shapes[node.output[0]],
                attributes=tuple(sorted(attributes.items())),
                weights=tuple(
                    i
                    for i, name in enumerate(node.input)
                    if name in tensors and _is_weight(tensors[name], node)
                ),
                constants=tuple(
                    (i, tuple(int(v) for v in numpy_helper.to_array(tensors[name]).ravel()))
                    for i, name in enumerate(node.input)
                    if name in tensors and not _is_weight(tensors[name], node)
                ),
                outputs=len(node.output),
                version=versions.get(node.domain, 1),
            )
        )
    return in_one_model(kernels)


def in_one_model(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Give the kernels of a model with the number of all its weights."""
    weights = sum(kernel.configuration.weights for kernel in kernels)
    around = 1 << max(weights - 1, 0).bit_length()
    return [replace(kernel, model_weights=around) for kernel in kernels]


def inferred_shapes(fused: onnx.ModelProto) -> dict[str, Shape]:
    """Give the fixed shapes of a fused graph's tensors as ONNX Runtime infers them.

    It knows the operators of its own domains. Nothing is run: only what is an output tells its
    shape, so all tensors become outputs.

    Raises:
        InvalidValueError: ONNX Runtime cannot load the graph.
    """
    twin = onnx.ModelProto.FromString(fused.SerializeToString())
    named = {value.name for value in twin.graph.output}
    made = [name for node in twin.graph.node for name in node.output if name]
    twin.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in named)
    session = open_session(twin.SerializeToString(), optimise=False)
    values = [*session.get_inputs(), *session.get_outputs()]
    found = {value.name: tuple(value.shape) for value in values}
    return {name: s for name, s in found.items() if all(isinstance(size, int) for size in s)}


def original_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Infer the shapes of a model's tensors; `InvalidValueError` if an input's is not fixed."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, Shape] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if all(sizes):
            found[value.name] = tuple(sizes)
    for value in graph.input:
        if value.name not in found:
            raise InvalidValueError(
                f"`onnx` must have inputs of fixed shape, but {value.name!r} has free dimensions: "
                f"export it for one batch and image size."
            )
    return found


def _is_weight(tensor: onnx.TensorProto, node: onnx.NodeProto) -> bool:
    if tensor.data_type == TensorProto.INT32:
        return node.op_type.startswith(_QUANTISED)
    return tensor.data_type in _WEIGHTS


def _attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> Attribute:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | float):
        return value
    if isinstance(value, Sequence) and all(isinstance(v, int | float | bytes) for v in value):
        return tuple(v.decode() if isinstance(v, bytes) else v for v in value)
    raise InvalidValueError(
        f"`onnx` must consist of nodes that can be run by themselves, but {node.op_type} "
        f"{node.name!r} has the attribute {attribute.name!r}, a tensor or graph."
    )


def _unknown(node: onnx.NodeProto, tensor: str) -> InvalidValueError:
    return InvalidValueError(
        f"`onnx` must have shapes that can be inferred, but that of {tensor!r} at {node.op_type} "
        f"{node.name!r} is not known."
    )
