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
_KEEPS_WIDTH = frozenset(
    {"Add", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split",
     "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"}
)  # fmt: skip


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Name the nodes that must stay in float32 for the others to be right in int8.

    - Masked attention: a tensor that holds -inf, or a mask of -1e9, has no scale of 256 steps that
      leaves anything of the scores. Nodes that make such tensors and those that read them stay.
    - A Clip whose range leaves out 0: it is dropped, though the int8 range before it has the 0.
    - Transposed convolutions with groups: one scale a channel of a group, one bias a channel.

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
        if widens or (reads and node.op_type in _KEEPS_WIDTH):
            wide.update(node.output)
        if widens or reads or _leaves_out_zero(node, constants) or _has_group_scales(node):
            kept.append(node.name)
    return kept


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with names of all nodes, and a copy of each output that a Relu or Clip reads.

    The tool gives what a Relu or Clip alone reads the range of what it writes, and does not ask
    whether it is an output of the model: its negative values would be cut off.
    """
    twin: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    outputs = {value.name for value in twin.graph.output}
    read = {n.input[0] for n in twin.graph.node if n.op_type in ("Relu", "Clip")}
    tensors = {name for node in twin.graph.node for name in (*node.input, *node.output)}
    inside = {name: _fresh(f"{name}_inside", tensors) for name in sorted(outputs & read)}
    for node in twin.graph.node:
        for names in (node.input, node.output):
            names[:] = [inside.get(name, name) for name in names]
    twin.graph.node.extend(
        helper.make_node("Identity", [source], [name]) for name, source in inside.items()
    )
    taken: set[str] = set()
    for number, node in enumerate(twin.graph.node):
        if not node.name or node.name in taken:
            node.name = _fresh(f"{node.op_type}_{number}", {n.name for n in twin.graph.node})
        taken.add(node.name)
    return twin


def _fresh(name: str, taken: Collection[str]) -> str:
    return name if name not in taken else _fresh(f"{name}_", taken)


def _is_wide(constant: npt.NDArray[np.generic]) -> bool:
    if not np.issubdtype(constant.dtype, np.floating) or not constant.size:
        return False
    return not float(np.abs(constant).max()) < _WIDE  # NaN is wide


def _leaves_out_zero(node: onnx.NodeProto, constants: Constants) -> bool:
    if node.op_type != "Clip":
        return False
    bounds = [constants.get(name) for name in node.input[1:]]
    low, high = (
        value if bound is None else float(bound.item())
        for bound, value in zip((*bounds, None, None)[:2], (-math.inf, math.inf), strict=True)
    )
    return low > 0 or high < 0


def _has_group_scales(node: onnx.NodeProto) -> bool:
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    return node.op_type == "ConvTranspose" and groups > 1
