"""What ONNX Runtime's int8 tool computes wrongly without a word, and how a model is kept from it.

Seen with onnxruntime 1.32.0; `findings/onnxruntime_int8_*.sh` shows each on a model of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Constants = Mapping[str, npt.NDArray[np.generic]]

_WIDE = 1e4
"""A constant that is added to attention scores to hide positions is -1e4 or below, or -inf."""
_WIDENS = frozenset({"Add", "Mul", "Pad", "Sub", "Where"})
_NARROWS = frozenset(
    {"Clip", "Conv", "Erf", "Exp", "Gemm", "HardSigmoid", "MatMul", "Sigmoid", "Softmax", "Tanh"}
)
"""What they write holds nothing of a mask that they read, or must hold it in int8."""


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Name the nodes that must stay in float32 for the others to be right in int8.

    - Masked attention: a tensor that holds -inf, or a mask of -1e9, has no scale of 256 steps that
      leaves anything of the scores. Nodes that make such tensors and those that read them stay.
    - A Clip whose range leaves out 0: it is dropped, though the int8 range before it has the 0.
    - Transposed convolutions with groups: one scale a channel of a group, one bias a channel.
    - Layer norms over several axes: the tool raises on scales of more than one dimension.
    - Gemm whose `beta` is not in its bias (`prepared`), or whose bias is several rows of constants:
      the tool drops `beta`, or raises.

    Args:
        model: in float32, `prepared`.
    """
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    wide: set[str] = set()
    kept = []
    for node in model.graph.node:  # in an order in which they can run
        widens = node.op_type in _WIDENS and any(
            _is_wide(constants[name]) for name in node.input if name in constants
        )
        reads = not wide.isdisjoint(node.input)
        if widens or (reads and node.op_type not in _NARROWS):
            wide.update(node.output)
        otherwise = _leaves_out_zero(node, constants) or _adds_otherwise(node, constants)
        refused = _has_group_scales(node) or _normalises_axes(node, constants)
        if widens or reads or otherwise or refused:
            kept.append(node.name)
    return kept


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with names of all nodes and what the tool would take for something else.

    - A copy of each output that a Relu or Clip reads: the tool gives what a Relu or Clip alone
      reads the range of what it writes, and does not ask whether it is an output of the model: its
      negative values would be cut off.
    - Constant biases of Gemm with `beta` in them, one value a column: the tool drops `beta`, and
      takes no scalar.
    """
    twin: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    _fold_beta(twin.graph)
    outputs = {value.name for value in twin.graph.output}
    read = {n.input[0] for n in twin.graph.node if n.op_type in ("Relu", "Clip")}
    made = {name for node in twin.graph.node for name in node.output}
    tensors = {name for node in twin.graph.node for name in (*node.input, *node.output)}
    inside = {name: _fresh(f"{name}_inside", tensors) for name in sorted(outputs & read & made)}
    renamed(twin.graph, inside)
    twin.graph.node.extend(
        helper.make_node("Identity", [source], [name]) for name, source in inside.items()
    )
    taken: set[str] = set()
    for number, node in enumerate(twin.graph.node):
        if not node.name or node.name in taken:
            node.name = _fresh(f"{node.op_type}_{number}", {n.name for n in twin.graph.node})
        taken.add(node.name)
    return twin


def _fold_beta(graph: onnx.GraphProto) -> None:
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm" or not {*node.input[1:]} <= constants.keys():
            continue
        if len(node.input) < 3:
            continue
        weight, bias = (constants[name] for name in node.input[1:])
        told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        columns = weight.shape[0 if told.get("transB") else 1]
        beta = told.get("beta", 1.0)
        one_row = bias.ndim < 2 or bias.shape[0] == 1
        if not one_row or (beta == 1.0 and bias.shape == (columns,)):
            continue
        # Another node may read the bias as it is.
        name = _fresh(f"{node.input[2]}_{node.output[0]}", constants.keys())
        scaled = np.broadcast_to(bias.ravel() * np.asarray(beta, bias.dtype), columns)
        constants[name] = np.ascontiguousarray(scaled)
        graph.initializer.append(numpy_helper.from_array(constants[name], name))
        node.input[2] = name
        kept = [a for a in node.attribute if a.name != "beta"]
        del node.attribute[:]
        node.attribute.extend(kept)


def renamed(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Rename tensors in place, in the graphs inside of nodes such as If, too."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                renamed(inner, new)


def _fresh(name: str, taken: Collection[str]) -> str:
    return name if name not in taken else _fresh(f"{name}_", taken)


def _is_wide(constant: npt.NDArray[np.generic]) -> bool:
    if not np.issubdtype(constant.dtype, np.floating) or not constant.size:
        return False
    return not float(np.abs(constant).max()) < _WIDE  # NaN is wide


def _leaves_out_zero(node: onnx.NodeProto, constants: Constants) -> bool:
    if node.op_type != "Clip":
        return False
    # Before operator set 11 the bounds are attributes.
    bounds: dict[str, float] = {a.name: a.f for a in node.attribute}
    bounds |= {
        name: float(constants[given].item())
        for name, given in zip(("min", "max"), node.input[1:], strict=False)
        if given in constants
    }
    return bounds.get("min", -math.inf) > 0 or bounds.get("max", math.inf) < 0


def _has_group_scales(node: onnx.NodeProto) -> bool:
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    return node.op_type == "ConvTranspose" and groups > 1


def _normalises_axes(node: onnx.NodeProto, constants: Constants) -> bool:
    scale = constants.get(node.input[1]) if node.op_type == "LayerNormalization" else None
    return scale is not None and scale.ndim > 1


def _adds_otherwise(node: onnx.NodeProto, constants: Constants) -> bool:
    if node.op_type != "Gemm" or not "".join(node.input[2:]):
        return False
    bias = constants.get(node.input[2])
    has_beta = any(a.name == "beta" and a.f != 1 for a in node.attribute)
    return has_beta or (bias is not None and bias.ndim != 1)
