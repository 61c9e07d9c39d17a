"""ONNX operators written as others, for runtimes that lack them or compute something else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwnas.runtimes.base import Array
from hwnas.runtimes.onnxruntime_session import open_session

_PART = b"tf_crop_and_resize"


@dataclass
class _Writer:
    """What is put in the place of one node: other nodes, and constants.

    Attributes:
        name: of what the node gives, which begins all other names.
        nodes: in their order.
        constants: what they read beside the node's inputs.
    """

    name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, values: Any) -> str:
        """Add a constant; give its name."""
        name = f"{self.name}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; give the name of its output."""
        name = f"{self.name}_part_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def transposed(self, x: str, order: Sequence[int]) -> str:
        """Add a transposition where one is needed."""
        same = list(order) == list(range(len(order)))
        return x if same else self.add("Transpose", x, perm=list(order))


class _Model:
    """Shapes and constants of a model by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        self._shapes = {v.name: _sizes(v.type.tensor_type) for v in values}
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Give a shape; None where it is not known."""
        if name in self.constants:
            return self.constants[name].shape
        return self._shapes.get(name)

    def constant(self, node: onnx.NodeProto, number: int) -> Array | None:
        """Give a constant input; None where there is none, or it is computed."""
        name = node.input[number] if len(node.input) > number else ""
        return self.constants.get(name)


def decomposed(model: onnx.ModelProto, kinds: Collection[str]) -> onnx.ModelProto:
    """Write operators as others where that can be done.

    Args:
        model: with constant shapes; returned as it is where nothing is written otherwise.
        kinds: operators of `WAYS`, with their mode where they have one, e.g. ``Pad.wrap``.
    """
    wanted = [node.output[0] for node in model.graph.node if _kind(node) in kinds]
    if not wanted:
        return model
    known = _Model(model)
    found: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        writer, result = _Writer(node.output[0]), None
        if node.output[0] in wanted:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            result = WAYS[node.op_type](writer, known, node, attributes)
        if result is None:
            nodes.append(node)
            continue
        for made in writer.nodes:  # one of them gives what the node gave
            made.output[:] = [node.output[0] if name == result else name for name in made.output]
        nodes += writer.nodes
        found.graph.initializer.extend(writer.constants)
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    return found


def _kind(node: onnx.NodeProto) -> str:
    mode = next((f".{a.s.decode()}" for a in node.attribute if a.name == "mode"), "")
    return f"{node.op_type}{mode}" if node.domain in ("", "ai.onnx") else ""


_Way = Callable[[_Writer, _Model, onnx.NodeProto, Mapping[str, Any]], str | None]
"""Writes a node; gives the name of its result, or None where it stays as it is."""


def _reciprocal(
    w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]
) -> str | None:
    del known, a
    return w.add("Div", w.constant(np.float32(1)), node.input[0])


def _mish(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write x tanh(softplus(x))."""
    del known, a
    x = node.input[0]
    return w.add("Mul", x, w.add("Tanh", w.add("Softplus", x)))


def _exponential(
    w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]
) -> str | None:
    """Write γ max(x, 0) + γ α (exp(min(x, 0) / β) - 1); β is α of Celu, and 1 of the others."""
    del known
    x, kind = node.input[0], node.op_type
    alpha = a.get("alpha", 1.67326319217681884765625 if kind == "Selu" else 1.0)
    gamma = a.get("gamma", 1.05070102214813232421875) if kind == "Selu" else 1.0
    if kind == "Elu" and alpha == 1:
        return None
    below = w.add("Min", x, w.constant(np.float32(0)))
    if kind == "Celu":
        below = w.add("Mul", below, w.constant(np.float32(1 / alpha)))
    less = w.add("Sub", w.add("Exp", below), w.constant(np.float32(1)))
    low = w.add("Mul", less, w.constant(np.float32(gamma * alpha)))
    high = w.add("Mul", w.add("Relu", x), w.constant(np.float32(gamma)))
    return w.add("Add", high, low)


def _pad(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write what repeats the edges, or goes round, as slices that are joined."""
    mode, shape, pads = a["mode"], known.shape(node.input[0]), known.constant(node, 1)
    if mode not in (b"edge", b"wrap") or shape is None or pads is None or (pads < 0).any():
        return None
    axes = known.constant(node, 3)
    which = range(len(shape)) if axes is None else [int(i) % len(shape) for i in axes]
    result = node.input[0]
    for axis, (before, after) in zip(which, pads.reshape(2, -1).T.tolist(), strict=True):
        n = shape[axis]
        if mode == b"wrap" and max(before, after) > n:
            return None
        part = {
            b"edge": [(0, 1)] * before + [None] + [(n - 1, n)] * after,
            b"wrap": [(n - before, n)] * (before > 0) + [None] + [(0, after)] * (after > 0),
        }[mode]
        if len(part) > 1:
            parts = [result if p is None else _slice(w, result, axis, *p) for p in part]
            result = w.add("Concat", *parts, axis=axis)
    return result if w.nodes else None


def _slice(w: _Writer, x: str, axis: int, start: int, end: int) -> str:
    return w.add("Slice", x, *(w.constant(np.array([v])) for v in (start, end, axis)))


def _einsum(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write the sum of products of two tensors as a product of matrices.

    Letters of both and of the result stand for a batch of matrices, those of both alone for what
    is summed over, (batch, own of the first, summed) (batch, summed, own of the second).
    """
    terms, arrow, result = a["equation"].decode().replace(" ", "").partition("->")
    first, _, second = terms.partition(",")
    shapes = [known.shape(name) for name in node.input]
    plain = all(len(set(t)) == len(t) and t.isalpha() for t in (first, second, result or "x"))
    if not plain or not arrow or len(shapes) != 2 or shapes[0] is None or shapes[1] is None:
        return None
    sizes = {
        **dict(zip(first, shapes[0], strict=True)),
        **dict(zip(second, shapes[1], strict=True)),
    }
    both = [c for c in first if c in second]
    batch, summed = ([c for c in both if (c in result) == kept] for kept in (True, False))
    own = [[c for c in term if c not in both] for term in (first, second)]
    if any(c not in result for letters in own for c in letters):
        return None  # a sum of one of them alone

    def number(letters: Sequence[str]) -> int:
        return int(np.prod([sizes[c] for c in letters], dtype=np.int64))

    def matrices(x: str, term: str, *parts: Sequence[str]) -> str:
        order = [term.index(c) for part in parts for c in part]
        shape = [*(sizes[c] for c in parts[0]), *(number(part) for part in parts[1:])]
        return w.add("Reshape", w.transposed(x, order), w.constant(np.array(shape, np.int64)))

    left = matrices(node.input[0], first, batch, own[0], summed)
    right = matrices(node.input[1], second, batch, summed, own[1])
    order = [*batch, *own[0], *own[1]]
    shape = w.constant(np.array([sizes[c] for c in order], np.int64))
    found = w.add("Reshape", w.add("MatMul", left, right), shape)
    return w.transposed(found, [order.index(c) for c in result])


def _of_signals(
    w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]
) -> str | None:
    """Write a transposed convolution of signals as one of images of one row."""
    shape, weight = known.shape(node.input[0]), known.constant(node, 1)
    if shape is None or weight is None or len(shape) != 3 or "output_shape" in a:
        return None
    names = {"strides": 1, "dilations": 1, "output_padding": 0}
    wide = {name: [one, *a[name]] for name, one in names.items() if name in a}
    if "pads" in a:
        wide["pads"] = [0, a["pads"][0], 0, a["pads"][1]]
    image = w.add("Reshape", node.input[0], w.constant(np.array([*shape[:2], 1, shape[2]])))
    inputs = [image, w.constant(weight[:, :, None]), *node.input[2:]]
    given = {**{k: v for k, v in a.items() if k != "kernel_shape"}, **wide}
    found = w.add("ConvTranspose", *inputs, **given)
    length = known.shape(node.output[0])
    return None if length is None else w.add("Reshape", found, w.constant(np.array(length)))


def _over(known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> list[int]:
    """Give the dimensions that a reduction is over; none where they are not known."""
    shape, given = known.shape(node.input[0]), known.constant(node, 1)
    if shape is None or (given is None and len(node.input) > 1 and node.input[1]):
        return []
    axes = a.get("axes", ()) if given is None else given.tolist()
    return sorted(int(axis) % len(shape) for axis in axes)


def _reduced(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write a mean or a sum over one dimension as one over it and another of size 1."""
    x, over, shape = node.input[0], _over(known, node, a), known.shape(node.input[0])
    if shape is None or len(over) != 1 or over == [0] or "axes" in a:
        return None
    (axis,) = over
    wider = [*shape[: axis + 1], 1, *shape[axis + 1 :]]
    split = w.add("Reshape", x, w.constant(np.array(wider, np.int64)))
    both = w.constant(np.array([axis, axis + 1], np.int64))
    result = w.add(node.op_type, split, both, keepdims=0)
    if not a.get("keepdims", 1):
        return result
    kept = [*shape[:axis], 1, *shape[axis + 1 :]]
    return w.add("Reshape", result, w.constant(np.array(kept, np.int64)))


def _largest(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write the largest number of each channel of an image as a pool."""
    shape, over = known.shape(node.input[0]), _over(known, node, a)
    if shape is None or len(shape) != 4 or over != [2, 3]:
        return None
    result = w.add("GlobalMaxPool", node.input[0])
    flat = w.constant(np.array(shape[:2], np.int64))
    return result if a.get("keepdims", 1) else w.add("Reshape", result, flat)


def _resize(w: _Writer, known: _Model, node: onnx.NodeProto, a: Mapping[str, Any]) -> str | None:
    """Write a linear or cubic one as products with the matrices that it is along its dimensions."""
    shape = known.shape(node.input[0])
    if shape is None or known.opset < 11 or a.get("mode", b"nearest") == b"nearest":
        return None
    result = node.input[0]
    for axis, matrix in resize_matrices(node.input, a, known.constants, shape, known.opset) or []:
        order = [*range(len(shape))]
        order[axis], order[-1] = order[-1], order[axis]
        product = w.add("MatMul", w.transposed(result, order), w.constant(matrix))
        result = w.transposed(product, order)
    return result if w.nodes else None


def resize_matrices(
    inputs: Sequence[str],
    attributes: Mapping[str, Any],
    constants: Mapping[str, Array],
    shape: Sequence[int],
    opset: int,
) -> list[tuple[int, Array]] | None:
    """Give what a linear or cubic Resize of (B, C, ...) multiplies by along each dimension.

    Args:
        inputs: of the Resize, by name.
        attributes: of the Resize.
        constants: those of its inputs that are constant.
        shape: of what it resizes.
        opset: of the model, 11 at least.

    Returns:
        Dimension and matrix (before, after) of each that is resized, as ONNX Runtime does it; None
        where sizes are computed, B or C are resized, or only a part is.
    """
    scales, sizes = [*inputs, "", "", ""][2:4]
    told = constants.get(sizes or scales)
    named, rank = dict(attributes), len(shape)
    axes = [int(i) % rank for i in named.pop("axes", range(rank))]
    whole = named.pop("keep_aspect_ratio_policy", b"stretch") == b"stretch"
    if told is None or not whole or named.get("coordinate_transformation_mode") == _PART:
        return None
    usual = [*shape] if sizes else [1.0] * rank
    wanted = {i: to for i, to in zip(axes, told.tolist(), strict=True) if to != usual[i]}
    if min(wanted, default=2) < 2:
        return None
    return [(i, _resized(shape[i], to, bool(sizes), named, opset)) for i, to in wanted.items()]


def _resized(
    before: int, to: float, is_size: bool, attributes: Mapping[str, Any], opset: int
) -> Array:
    """Resize each row of the identity, (before, after)."""
    name, dtype = ("sizes", np.int64) if is_size else ("scales", np.float32)
    target = np.array([1, 1, before if is_size else 1, to]).astype(dtype)
    inputs = ["x", "", *(["", name] if is_size else [name])]
    graph = helper.make_graph(
        [helper.make_node("Resize", inputs, ["y"], **attributes)],
        "rows",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, before, before])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(target, name)],
    )
    alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    rows = np.eye(before, dtype=np.float32)[None, None]
    (found,) = open_session(alone.SerializeToString()).run(None, {"x": rows})
    return np.asarray(found[0, 0])


def _sizes(tensor: Any) -> tuple[int, ...] | None:
    sizes = tuple(int(d.dim_value) for d in tensor.shape.dim)
    return sizes if tensor.HasField("shape") and all(sizes) else None


WAYS: Mapping[str, _Way] = {
    "Celu": _exponential,
    "ConvTranspose": _of_signals,
    "Einsum": _einsum,
    "Elu": _exponential,
    "Mish": _mish,
    "Pad": _pad,
    "Reciprocal": _reciprocal,
    "ReduceMax": _largest,
    "ReduceMean": _reduced,
    "ReduceSum": _reduced,
    "Resize": _resize,
    "Selu": _exponential,
}
