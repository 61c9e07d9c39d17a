"""The kernels of a network as OpenVINO executes them on the CPU.

OpenVINO tells the graph that it compiled: which layers it joined, and which of its programs
(``primitiveType``) computes each. The windows of pools stand in the network that it read. Compiling
takes some tenths of a second of one core; nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.runtimes.base import RunSettings
from hwnas_predictors.kernels.fused_graph import in_one_model
from hwnas_predictors.kernels.kernel import Attribute, Kernel, Shape

_NO_KERNELS = frozenset(("Const", "Input", "Output", "Reshape"))
"""Layers that compute nothing; a Reshape gives the same numbers in the same order."""
_POOLS = {"AvgPool": "AveragePool", "MaxPool": "MaxPool"}
_CHAINS = frozenset(("Eltwise", "Math", "Subgraph"))
"""Layers of element-wise operators, one or several; which ones differs from network to network."""
_CHEAP = frozenset(
    ("Add", "Convert", "FakeQuantize", "Maximum", "Minimum", "Multiply", "Relu", "Subtract")
)
"""Operators of an instruction or two a number."""


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
        InvalidValueError: OpenVINO cannot run it.
    """
    read, made = compiled(content, settings)
    sources = {op.get_friendly_name(): op for op in read.get_ops()}
    return in_one_model([_kernel(layer, sources) for layer in layers_in(made)])


def layers_in(made: Any) -> list[Any]:
    """List the layers of a compiled network that compute, in the order of execution."""
    ops = made.get_runtime_model().get_ops()
    found = [op for op in ops if _fact(op, "layerType") not in _NO_KERNELS]
    return sorted(found, key=lambda op: int(_fact(op, "execOrder")))


def _kernel(layer: Any, sources: Mapping[str, Any]) -> Kernel:
    kind, names = _fact(layer, "layerType"), _fact(layer, "originalLayersNames").split(",")
    joined = [sources[name] for name in names if name in sources]
    inputs = [value.get_source_output() for value in layer.inputs()]
    shapes: list[Shape | None] = [_shape(value) for value in inputs]
    fixed = [_fact(value.get_node(), "layerType") == "Const" for value in inputs]
    output = _shape(layer.output(0))
    attributes: dict[str, Attribute] = {"primitive": _fact(layer, "primitiveType")}
    operator = kind
    if kind == "Convolution":
        operator = "Conv"
        shapes, attributes = _convolution(shapes, fixed, output, joined, attributes)
        fixed = [False, True, True][: len(shapes)]
    elif kind == "Pooling":
        operator, attributes = _pool(joined, attributes)
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
    output: Shape,
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
    steps = zip(image[2:], output[2:], strict=True)
    found = {**attributes, "group": groups, "strides": tuple(round(i / o) for i, o in steps)}
    activations = [t for op in joined[1:] if (t := op.get_type_name()) != "Add"]
    if activations:
        found["activation"] = activations[0]
    added = [s for s, constant in zip(shapes[2:], fixed[2:], strict=True) if not constant]
    bias = [s for s, constant in zip(shapes[2:], fixed[2:], strict=True) if constant]
    return [image, weight, *(bias[:1] or [None]), *added[:1]], found


def _chain(
    joined: Sequence[Any], attributes: Mapping[str, Attribute]
) -> tuple[str, dict[str, Attribute]]:
    """Give one type to all chains; how many operators a chain has stands as a window's size."""
    types = [op.get_type_name() for op in joined]
    dear = sorted({name for name in types if name not in _CHEAP})
    found: dict[str, Attribute] = {**attributes, "kernel_shape": (max(len(types), 1), 1)}
    if dear:
        found["activation"] = dear[0]
    return "Elementwise", found


def _pool(
    joined: Sequence[Any], attributes: Mapping[str, Attribute]
) -> tuple[str, dict[str, Attribute]]:
    pool = next((op for op in joined if op.get_type_name() in _POOLS), None)
    if pool is None:  # of all rows and columns
        return "GlobalPool", dict(attributes)
    facts = pool.get_attributes()
    windows = {"kernel_shape": tuple(facts["kernel"]), "strides": tuple(facts["strides"])}
    return _POOLS[pool.get_type_name()], {**attributes, **windows}


def _shape(value: Any) -> Shape:
    return tuple(int(size) for size in value.get_shape())


def _fact(layer: Any, name: str) -> str:
    facts = layer.get_rt_info()
    return str(facts[name].astype(str)) if name in facts else ""
