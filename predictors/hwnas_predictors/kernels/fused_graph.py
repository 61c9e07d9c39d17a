"""The kernels of a network as ONNX Runtime's CPU provider executes them.

ONNX Runtime folds batch norms, fuses activations and residual sums into convolutions, and moves
convolutions to a layout with channels in blocks where the CPU has vector instructions for it. The
graph after all that is what it writes to `SessionOptions.optimized_model_filepath`.
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
from hwnas.runtimes.onnxruntime_session import load_model_bytes
from hwnas_predictors.kernels.kernel import NCHWC, Attribute, Kernel, Shape

_ELEMENT_WISE = frozenset(
    (
        *("Add", "Mul", "Sub", "Div", "Sum", "Max", "Min", "Relu", "LeakyRelu", "Clip", "Sigmoid"),
        *("HardSigmoid", "HardSwish", "Tanh", "Elu", "Gelu", "QuickGelu", "Identity", "Erf"),
    )
)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def fused_graph(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    """Give the graph that ONNX Runtime's CPU provider executes on this host.

    Args:
        model: the network.

    Returns:
        The optimised model, with operators of ONNX Runtime's own domains.

    Raises:
        InvalidValueError: ONNX Runtime cannot load the model.
    """
    from hwnas.runtimes.onnxruntime_session import open_session

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
        model: the network, with fixed shapes.

    Raises:
        InvalidValueError: a shape is not fixed, or a node cannot stand by itself.
    """
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else model
    fused = fused_graph(proto)
    return kernels_of(fused, original_shapes(proto))


def kernels_of(fused: onnx.ModelProto, known: Mapping[str, Shape]) -> list[Kernel]:
    """List the kernels of a fused graph.

    Args:
        fused: what `fused_graph` gives.
        known: shapes of the tensors that the graph has in common with the original one.

    Raises:
        InvalidValueError: the shape of a tensor is not known, or a node cannot stand by itself.
    """
    tensors = {tensor.name: tensor for tensor in fused.graph.initializer}
    shapes = {**known, **{name: tuple(t.dims) for name, t in tensors.items()}}
    versions = {o.domain: o.version for o in fused.opset_import}
    kernels = []
    for node in fused.graph.node:
        attributes = {a.name: _attribute(node, a) for a in node.attribute}
        missing = [name for name in node.input if name and name not in shapes]
        if missing:
            raise _unknown(node, missing[0])
        inputs = tuple(shapes[name] if name else None for name in node.input)
        output = shapes.get(node.output[0]) or _output_shape(node, inputs, attributes)
        shapes[node.output[0]] = output
        kernels.append(
            Kernel(
                operator=node.op_type,
                domain=node.domain,
                inputs=inputs,
                output=output,
                attributes=tuple(sorted(attributes.items())),
                weights=tuple(
                    i
                    for i, name in enumerate(node.input)
                    if name in tensors and tensors[name].data_type in _FLOATS
                ),
                constants=tuple(
                    (i, tuple(int(v) for v in numpy_helper.to_array(tensors[name]).ravel()))
                    for i, name in enumerate(node.input)
                    if name in tensors and tensors[name].data_type not in _FLOATS
                ),
                outputs=len(node.output),
                version=versions.get(node.domain, 1),
            )
        )
    weights = sum(kernel.configuration.weights for kernel in kernels)
    around = 1 << max(weights - 1, 0).bit_length()
    return [replace(kernel, model_weights=around) for kernel in kernels]


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


def _output_shape(
    node: onnx.NodeProto,
    inputs: tuple[Shape | None, ...],
    attributes: Mapping[str, Attribute],
) -> Shape:
    """Infer the shape of a tensor that only the fused graph has."""
    image = inputs[0]
    assert image is not None
    if node.op_type in ("Conv", "FusedConv", "MaxPool", "AveragePool"):
        return _windowed(node, inputs, attributes)
    if node.domain == NCHWC and node.op_type in ("GlobalAveragePool", "GlobalMaxPool"):
        return (*image[:2], 1, 1)
    if node.domain == NCHWC and node.op_type == "ReorderInput":
        block = block_size()
        return (image[0], -(-image[1] // block) * block, *image[2:])
    if node.domain == NCHWC and node.op_type == "ReorderOutput":
        channels = attributes["channels"]
        assert isinstance(channels, int)
        return (image[0], channels, *image[2:])
    if node.domain == NCHWC and node.op_type == "Upsample":
        scales = np.asarray(attributes["scales"], dtype=np.float64)
        return tuple(int(size) for size in np.floor(np.array(image) * scales))
    if node.op_type in _ELEMENT_WISE:
        return np.broadcast_shapes(*(shape for shape in inputs if shape is not None))
    if node.op_type == "Concat" and attributes["axis"] in (1, -3):
        return (image[0], sum(s[1] for s in inputs if s is not None), *image[2:])
    raise _unknown(node, node.output[0])


def _windowed(
    node: onnx.NodeProto,
    inputs: tuple[Shape | None, ...],
    attributes: Mapping[str, Attribute],
) -> Shape:
    image, weight = inputs[0], inputs[1] if len(inputs) > 1 else None
    assert image is not None
    window = attributes.get("kernel_shape") or (weight or ())[2:]
    ones, zeros = (1,) * len(image[2:]), (0,) * 2 * len(image[2:])
    strides, pads = attributes.get("strides", ones), attributes.get("pads", zeros)
    dilations, ceil = attributes.get("dilations", ones), attributes.get("ceil_mode", 0)
    if str(attributes.get("auto_pad", "NOTSET")) not in ("NOTSET", "VALID", ""):
        raise _unknown(node, node.output[0])
    sizes = []
    for i, size in enumerate(image[2:]):
        # The tuples hold integers in these attributes.
        span = int(dilations[i]) * (int(window[i]) - 1) + 1  # type: ignore[index]
        room = size + int(pads[i]) + int(pads[i + len(ones)]) - span  # type: ignore[index]
        step = int(strides[i])  # type: ignore[index]
        sizes.append((-(-room // step) if ceil else room // step) + 1)
    return (image[0], weight[0] if weight else image[1], *sizes)


def _unknown(node: onnx.NodeProto, tensor: str) -> InvalidValueError:
    return InvalidValueError(
        f"`onnx` must have shapes that can be inferred, but that of {tensor!r} at {node.op_type} "
        f"{node.name!r} is not known."
    )
