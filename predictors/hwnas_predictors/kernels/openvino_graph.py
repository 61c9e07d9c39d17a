"""The kernels of a network as OpenVINO executes them on the CPU.

OpenVINO tells the graph that it compiled: which layers it joined, and which of its programs
(``primitiveType``) computes each. The windows of pools stand in the network that it read. Compiling
takes some tenths of a second of one core; nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import RunSettings
from hwnas_predictors.kernels.fused_graph import in_one_model, original_shapes
from hwnas_predictors.kernels.kernel import Attribute, Kernel, Shape

_NO_KERNELS = frozenset(("Const", "Input", "Output", "Reshape"))
"""Layers that compute nothing; a Reshape gives the same numbers in the same order."""
_CONVOLUTIONS = frozenset(("Convolution", "GroupConvolution"))
_POOLS = {"AvgPool": "AveragePool", "MaxPool": "MaxPool"}
_CHAINS = frozenset(("Eltwise", "Math", "Subgraph"))
"""Layers of element-wise operators, one or several; which ones differs from network to network."""
_CHEAP = frozenset(
    ("Add", "Convert", "FakeQuantize", "Maximum", "Minimum", "Multiply", "Relu", "Subtract")
)
"""Operators of an instruction or two a number."""
_NO_ACTIVATIONS = _CONVOLUTIONS | {"Add", "BatchNormInference", "Convert", "FakeQuantize"}
"""What a convolution takes in beside an activation."""
_NAMES = {
    "Clamp": "Clip",
    "HSigmoid": "HardSigmoid",
    "HSwish": "HardSwish",
    "Maximum": "Clip",
    "Minimum": "Clip",
    "PRelu": "LeakyRelu",
}
"""Names that ONNX has for OpenVINO's activations, where they differ; a clip is read as two."""


def compiled(content: bytes, settings: RunSettings, timed: bool = False) -> tuple[Any, Any]:
    """Compile a network; see `hwnas.runtimes.openvino_runtime.compiled`."""
    from hwnas.runtimes import openvino_runtime

    return openvino_runtime.compiled(content, settings, timed)


def find_openvino_kernels(content: bytes, settings: RunSettings) -> list[Kernel]:
    """List the kernels of a network in the order of execution.

    Args:
        content: the ONNX model, with fixed shapes, quantised where the precision is int8.
        settings: threads and precision.

    Raises:
        InvalidValueError: OpenVINO cannot run it, or a shape is not fixed.
    """
    original_shapes(onnx.load_from_string(content))
    read, made = compiled(content, settings)
    sources = {op.get_friendly_name(): op for op in read.get_ops()}
    constants = _constants_in(made)
    return in_one_model([_kernel(layer, sources, constants) for layer in layers_in(made)])


def layers_in(made: Any) -> list[Any]:
    """List the layers of a compiled network that compute, in the order of execution."""
    constants = _constants_in(made)
    found = [
        op
        for op in made.get_runtime_model().get_ops()
        if _fact(op, "layerType") not in _NO_KERNELS and op.get_friendly_name() not in constants
    ]
    return sorted(found, key=lambda op: int(_fact(op, "execOrder")))


def _constants_in(made: Any) -> set[str]:
    """Name the constants, with what is computed of them alone: once, before any run."""
    found: set[str] = set()
    for op in made.get_runtime_model().get_ordered_ops():
        read = [value.get_source_output().get_node() for value in op.inputs()]
        computed = bool(read) and all(node.get_friendly_name() in found for node in read)
        if computed or _fact(op, "layerType") == "Const":
            found.add(op.get_friendly_name())
    return found


def _kernel(layer: Any, sources: Mapping[str, Any], constants: set[str]) -> Kernel:
    kind, names = _fact(layer, "layerType"), _fact(layer, "originalLayersNames").split(",")
    joined = [sources[name] for name in names if name in sources]
    inputs = [value.get_source_output() for value in layer.inputs()]
    shapes: list[Shape | None] = [_shape(value) for value in inputs]
    fixed = [value.get_node().get_friendly_name() in constants for value in inputs]
    output = _shape(layer.output(0))
    attributes: dict[str, Attribute] = {"primitive": _fact(layer, "primitiveType")}
    operator = kind
    if kind == "Convolution":
        operator = "Conv"
        attributes["strides"] = _strides(joined, sources.values(), shapes, output)
        shapes, attributes = _convolution(shapes, fixed, joined, attributes)
        fixed = [False, True, True][: len(shapes)]
    elif kind == "Pooling":
        operator, attributes = _pool(joined, attributes, shapes[0] or (), output)
    elif kind == "FullyConnected":
        operator = "Gemm"
    elif kind in _CHAINS:
        operator, attributes = _chain(joined, attributes)
    return Kernel(
        operator=operator,
        domain="openvino",
        inputs=tuple(shapes),
        output=output,
        attributes=tuple(sorted(attributes.items())),
        weights=tuple(i for i, constant in enumerate(fixed) if constant),
    )


def _convolution(
    shapes: Sequence[Shape | None],
    fixed: Sequence[bool],
    joined: Sequence[Any],
    attributes: Mapping[str, Attribute],
) -> tuple[list[Shape | None], dict[str, Attribute]]:
    """Give inputs as ONNX's convolution has them, a tensor that is added last, and attributes."""
    image, weight = shapes[0], shapes[1]
    assert image is not None
    assert weight is not None
    groups = 1
    if len(weight) > len(image):  # (groups, C_out of a group, C_in of a group, kernel)
        groups, weight = weight[0], (weight[0] * weight[1], *weight[2:])
    found = {**attributes, "group": groups}
    names = [op.get_type_name() for op in joined if not _scales(op)]
    activations = [name for name in names if name not in _NO_ACTIVATIONS]
    if activations:
        found["activation"] = _NAMES.get(activations[0], activations[0])
    added = [s for s, constant in zip(shapes[2:], fixed[2:], strict=True) if not constant]
    bias = [s for s, constant in zip(shapes[2:], fixed[2:], strict=True) if constant]
    return [image, weight, *(bias[:1] or [None]), *added[:1]], found


def _strides(
    joined: Sequence[Any], sources: Iterable[Any], shapes: Sequence[Shape | None], output: Shape
) -> tuple[int, ...]:
    """Give the strides of a convolution: they do not follow from its shapes alone.

    Where OpenVINO scales the weights, e.g. by a batch norm, it no longer names the convolution:
    then it is one with weights and output of these shapes, and with the image if any has it, which
    may have been padded; and if none has that output, any with these weights whose image and output
    may have become so small.
    """
    read = [op for op in joined if op.get_type_name() in _CONVOLUTIONS][:1]
    if not read:
        all_read = [op for op in sources if op.get_type_name() in _CONVOLUTIONS]
        alike = [
            op
            for op in all_read
            if _shape(op.input(1)) == shapes[1]
            and _covers(_shape(op.input(0)), shapes[0] or ())
            and _covers(_shape(op.output(0)), output)
        ]
        ends = [op for op in alike if _shape(op.output(0)) == output]
        read = [op for op in ends if _shape(op.input(0)) == shapes[0]] or ends or alike
    found = {_strides_now(op, shapes[0] or (), output) for op in read}
    if len(found) != 1:
        raise InvalidValueError(
            f"`onnx` must consist of convolutions that OpenVINO's are known by, but that from "
            f"{shapes[0]} to {output} is one of {len(read)} with {len(found)} different strides: "
            f"leave the network out."
        )
    return found.pop()


def _strides_now(read: Any, image: Shape, output: Shape) -> tuple[int, ...]:
    """Give the strides that a convolution has where OpenVINO moved strides to it, or from it.

    A 1×1 convolution that leaves pixels out hands its strides to those before it, which then
    compute these pixels alone: outputs are smaller by what came, and, of 1×1 convolutions, images
    by what went on. Images of others are smaller where padding was taken into the convolution.
    """
    hands_on = set(_shape(read.input(1))[-len(image[2:]) :]) == {1}
    ends = zip(read.get_attributes()["strides"], _shape(read.input(0))[2:], image[2:],
               _shape(read.output(0))[2:], output[2:], strict=True)  # fmt: skip
    return tuple(
        max(stride * round(was_out / now_out) // (round(was_in / now_in) if hands_on else 1), 1)
        for stride, was_in, now_in, was_out, now_out in ends
    )


def _covers(was: Shape, now: Shape) -> bool:
    """Tell whether an image of one shape may have become one of the other by leaving pixels out."""
    return was[:2] == now[:2] and all(w >= n for w, n in zip(was[2:], now[2:], strict=True))


def _scales(op: Any) -> bool:
    """Tell whether an operator multiplies by fewer numbers, or fixed ones, as a batch norm."""
    if op.get_type_name() != "Multiply":
        return False
    read, shape = op.input_values(), _shape(op.output(0))
    return any(v.get_node().get_type_name() == "Constant" or _shape(v) != shape for v in read)


def _chain(
    joined: Sequence[Any], attributes: Mapping[str, Attribute]
) -> tuple[str, dict[str, Attribute]]:
    """Give one type to all chains; how many operators a chain has stands as a window's size."""
    types = [op.get_type_name() for op in joined]
    dear = sorted({name for name in types if name not in _CHEAP})
    found: dict[str, Attribute] = {**attributes, "kernel_shape": (max(len(types), 1), 1)}
    if dear:
        found["activation"] = _NAMES.get(dear[0], dear[0])
    return "Elementwise", found


def _pool(
    joined: Sequence[Any], attributes: Mapping[str, Attribute], image: Shape, output: Shape
) -> tuple[str, dict[str, Attribute]]:
    pool = next((op for op in joined if op.get_type_name() in _POOLS), None)
    if pool is None and set(output[2:]) == {1}:  # of all rows and columns
        return "GlobalPool", dict(attributes)
    if pool is None:  # OpenVINO's own: pixels that strides which it moved here leave out
        steps = tuple(round(i / o) for i, o in zip(image[2:], output[2:], strict=True))
        windows = {"kernel_shape": (1,) * len(steps), "strides": steps}
        return "MaxPool", {**attributes, **windows}
    facts = pool.get_attributes()
    windows = {"kernel_shape": tuple(facts["kernel"]), "strides": tuple(facts["strides"])}
    return _POOLS[pool.get_type_name()], {**attributes, **windows}


def _shape(value: Any) -> Shape:
    if value.get_partial_shape().is_dynamic:
        raise InvalidValueError(
            f"`onnx` must have shapes that can be inferred, but that of a tensor at "
            f"{value.get_node().get_friendly_name()!r} is not known."
        )
    return tuple(int(size) for size in value.get_shape())


def _fact(layer: Any, name: str) -> str:
    facts = layer.get_rt_info()
    return str(facts[name].astype(str)) if name in facts else ""
