"""One kernel as a model of standard operators, which any runtime can run."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas_predictors.kernels.kernel import Attribute, Kernel
from hwnas_predictors.kernels.plain_graph import ACTIVATIONS

_OPSET = 18
_VARIANCE = 4
"""Position of a batch norm's variance, which is not below 0."""


def plain_model(kernel: Kernel, seed: int = 0, *, behind_pool: bool = False) -> onnx.ModelProto:
    """Write a model from ``input`` to ``output``.

    The first image is the input; further ones are constants, so that runtimes that take one input
    can run it.

    Args:
        kernel: what `find_plain_kernels` gives, or with other channels.
        seed: seed of weights and constants.
        behind_pool: put an average pool of 1x1 before it, which changes nothing: see `needs_pool`.
    """
    image = _image(kernel)
    tensors = _tensors(kernel, image, np.random.default_rng(seed))
    names = [
        ("pooled" if behind_pool else "input") if i == image else "" if shape is None else f"t{i}"
        for i, shape in enumerate(kernel.inputs)
    ]
    nodes = _nodes(kernel, names, tensors)
    nodes[-1].output[0] = "output"
    if behind_pool:
        nodes.insert(0, helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[1, 1]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "kernel",
        [value("input", TensorProto.FLOAT, kernel.inputs[image])],
        [value("output", TensorProto.FLOAT, kernel.output)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)


def needs_pool(kernel: Kernel) -> bool:
    """Tell whether ncnn would take the batch of a kernel's images for a dimension of the image.

    pnnx finds the batch by convolutions and pools: an element-wise operator must not be alone.
    """
    inner = {"FusedConv", "Conv", "ConvTranspose", "Gemm", "MatMul"}
    shape = kernel.inputs[_image(kernel)]
    return kernel.operator not in inner and "Pool" not in kernel.operator and len(shape or ()) == 4


def pool_before(kernel: Kernel) -> Kernel:
    """Give the pool that `plain_model` puts before a kernel."""
    shape = kernel.inputs[_image(kernel)]
    assert shape is not None
    return Kernel("AveragePool", "", (shape,), shape, (("kernel_shape", (1, 1)),))


def _image(kernel: Kernel) -> int:
    """Give the position of the first input that is an image."""
    fixed = {*kernel.weights, *(position for position, _ in kernel.constants)}
    return next(i for i, s in enumerate(kernel.inputs) if s is not None and i not in fixed)


def _tensors(kernel: Kernel, image: int, rng: np.random.Generator) -> list[onnx.TensorProto]:
    constants, found = dict(kernel.constants), []
    for i, shape in enumerate(kernel.inputs):
        if i in constants:
            array = np.array(constants[i], dtype=np.int64)
        elif shape is None or i == image:
            continue
        elif kernel.operator == "Clip":
            array = np.array([*ACTIVATIONS["Clip"].values()][i - 1], dtype=np.float32)
        else:
            drawn = rng.standard_normal(shape, dtype=np.float32)
            array = np.asarray(drawn / max(1.0, prod(shape[1:])) ** 0.5, dtype=np.float32)
            if kernel.operator == "BatchNormalization" and i == _VARIANCE:
                array = np.abs(array)
        found.append(numpy_helper.from_array(array, f"t{i}"))
    return found


def _nodes(
    kernel: Kernel, names: list[str], tensors: list[onnx.TensorProto]
) -> list[onnx.NodeProto]:
    """Write the operator, and the sum and the activation that were joined with it."""
    own = dict(kernel.attributes)
    activation, numbers = own.pop("activation", ""), own.pop("activation_params", ())
    given = {name: listed(value) for name, value in own.items()}
    if kernel.operator != "FusedConv":
        return [helper.make_node(kernel.operator, names, ["a"], domain=kernel.domain, **given)]
    nodes = [helper.make_node("Conv", [n for n in names[:3] if n], ["a"], **given)]
    if len(names) > 3:
        nodes.append(helper.make_node("Add", ["a", names[3]], ["b"]))
    if activation:
        assert isinstance(numbers, tuple)
        named = dict(zip(ACTIVATIONS[str(activation)], map(float, numbers), strict=True))
        inputs = [nodes[-1].output[0]]
        if activation == "Clip":
            inputs += named
            ends = ((name, np.array(end, dtype=np.float32)) for name, end in named.items())
            tensors += [numpy_helper.from_array(array, name) for name, array in ends]
            named = {}
        node = helper.make_node(str(activation), inputs, ["c"])
        node.attribute.extend(helper.make_attribute(name, v) for name, v in named.items())
        nodes.append(node)
    return nodes


def listed(value: Attribute) -> Any:
    """Give an attribute as ONNX takes it: tuples are lists."""
    return list(value) if isinstance(value, tuple) else value
