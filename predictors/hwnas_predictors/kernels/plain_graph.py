"""The kernels of a network as runtimes other than ONNX Runtime in float32 are asked for them.

These runtimes do not say which graph they execute, or write it in operators that only they have. So
a kernel is what all of them compute at once: an operator of the folded ONNX graph, a convolution
together with the sum and the activation that only follow it. The folded graph has equal branches
once, as the runtimes do (three equal pools of one tensor are one), and batch norms in convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
from onnx import numpy_helper

from hwnas.runtimes.lowering import folded
from hwnas_predictors.kernels.fused_graph import kernels_of, original_shapes
from hwnas_predictors.kernels.kernel import Attribute, Kernel

_FREE = frozenset(("Constant", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"))
"""Operators that give the same numbers in the same order: runtimes compute nothing for them."""
ACTIVATIONS: Mapping[str, Mapping[str, float]] = {
    "Relu": {}, "Sigmoid": {}, "Tanh": {}, "HardSwish": {}, "LeakyRelu": {"alpha": 0.01},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "Clip": {"min": 0.0, "max": 6.0},
}  # fmt: skip
"""What a convolution takes in, and its numbers: of Clip two inputs, else attributes of ONNX."""
_Tensors = Mapping[str, onnx.TensorProto]


def find_plain_kernels(model: onnx.ModelProto | bytes) -> list[Kernel]:
    """List the kernels of a network in the order of execution.

    Args:
        model: the network in float32, with fixed shapes.

    Raises:
        InvalidValueError: a shape is not fixed, or a node cannot stand by itself.
    """
    proto = onnx.load_from_string(model) if isinstance(model, bytes) else model
    graph = folded(proto)
    return _joined(kernels_of(graph, original_shapes(graph)), graph.graph)


def _joined(kernels: Sequence[Kernel], graph: onnx.GraphProto) -> list[Kernel]:
    """Join each convolution with what only follows it, and leave out what costs nothing."""
    nodes, taken, found = list(graph.node), set[int](), []
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for i, kernel in enumerate(kernels):
        if i in taken or kernel.operator in _FREE:
            continue
        if kernel.operator == "Conv":
            at = i
            for join in (_with_sum, _with_activation):
                after = _only_user(nodes, nodes[at].output[0], graph)
                made = (
                    None if after is None else join(kernel, kernels[after], nodes[after], tensors)
                )
                if after is not None and after not in taken and made is not None:
                    kernel, at = made, after
                    taken.add(after)
            swish = _swish(nodes, nodes[at].output[0])
            if swish and "activation" not in dict(kernel.attributes):
                kernel = _activated(kernel, "HardSwish", ())
                taken |= set(swish)
        found.append(kernel)
    return found


def _swish(nodes: Sequence[onnx.NodeProto], name: str) -> tuple[int, ...]:
    """Find x HardSigmoid(x) of a tensor, which folding makes of HardSwish; empty if not there."""
    users = [i for i, node in enumerate(nodes) for read in node.input if read == name]
    gates = [i for i in users if nodes[i].op_type == "HardSigmoid"]
    products = [i for i in users if nodes[i].op_type == "Mul"]
    if len(users) != 2 or not gates or not products:
        return ()
    (gate,), (product,) = gates, products
    return (gate, product) if nodes[gate].output[0] in nodes[product].input else ()


def _only_user(nodes: Sequence[onnx.NodeProto], name: str, graph: onnx.GraphProto) -> int | None:
    """Give the one node that reads a tensor; None of none, several, and of the graph's output."""
    users = [i for i, node in enumerate(nodes) for read in node.input if read == name]
    is_output = any(value.name == name for value in graph.output)
    return users[0] if len(users) == 1 and not is_output else None


def _with_sum(
    kernel: Kernel, after: Kernel, node: onnx.NodeProto, tensors: _Tensors
) -> Kernel | None:
    del node, tensors
    shapes = {after.output, *after.inputs}
    if after.operator != "Add" or after.weights or shapes != {kernel.output}:
        return None
    parts = (*kernel.inputs, None)[:3]
    return replace(_fused(kernel), inputs=(*parts, kernel.output))


def _with_activation(
    kernel: Kernel, after: Kernel, node: onnx.NodeProto, tensors: _Tensors
) -> Kernel | None:
    defaults = ACTIVATIONS.get(after.operator)
    if defaults is None:
        return None
    own = dict(after.attributes)
    given = {n: float(v) for n in defaults if isinstance(v := own.get(n), int | float)}
    if after.operator == "Clip":
        ends = zip(("min", "max"), node.input[1:], strict=False)
        given = {k: float(numpy_helper.to_array(tensors[n])) for k, n in ends if n in tensors}
    numbers = tuple({**defaults, **given}.values())
    return _activated(kernel, after.operator, numbers)


def _activated(kernel: Kernel, name: str, numbers: tuple[float, ...]) -> Kernel:
    more: dict[str, Attribute] = {"activation": name, "activation_params": numbers}
    attributes = tuple(sorted({**dict(kernel.attributes), **more}.items()))
    return replace(_fused(kernel), attributes=attributes)


def _fused(kernel: Kernel) -> Kernel:
    return replace(kernel, operator="FusedConv", domain="com.microsoft")
