"""From an ONNX model to a LiteRT model: formats, layouts and names; the operators are elsewhere.

ONNX keeps images as (B, C, H, W), LiteRT as (B, H, W, C). A tensor here has ONNX's shape and says
in which order its dimensions are stored, so that only what mixes them needs a transposition.

In a quantised model (QDQ) an operator computes in int8 where all its activations come from
DequantizeLinear and its result goes to QuantizeLinear alone, and in float32 otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array
from hwnas.runtimes.litert.flatbuffer import FlatGraph, Scale
from hwnas.runtimes.lowering import STAYS

CHANNELS_LAST = (0, 2, 3, 1)
_INPUTS = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int32",
}
"""Formats of the input: tokens have 32 bits here."""
_ONCE_ATTRIBUTES: Mapping[str, Sequence[str]] = {
    "Clip": ("min", "max"),
    "Pad": ("pads", "value"),
    "Slice": ("starts", "ends", "axes"),
    "Split": ("split",),
}
"""What are inputs, in this order, since an operator set between 10 and 13."""
_FUSING = ("BatchNormalization", "Conv", "Gemm", "Add", "Sub", "Mul")
_WITH_CONSTANTS = ("Add", "Concat", "Mul", "Sub")
_MOVING = (
    "Cast", "Concat", "Expand", "Flatten", "Gather", "GatherND", "Identity", "Reshape", "Slice",
    "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
"""What gives the numbers of its first input, or of all that it joins, in other places."""
_LEAST, _MOST, _ROUNDING = -128, 127, 1e-5
_FLOAT_ONLY = (
    "Abs", "BatchNormalization", "Ceil", "ConvTranspose", "Cos", "CumSum", "Div", "Elu", "Exp",
    "Floor", "GRU", "Gelu", "HardSigmoid", "InstanceNormalization", "IsNaN", "LSTM",
    "LayerNormalization", "Log", "LogSoftmax", "Max", "Min", "Neg", "PRelu", "Pow", "RNN",
    "ReduceL2", "ReduceMax", "ReduceMin", "ReduceSum", "Round", "Sin", "Softplus",
    "Sqrt", "TopK", "Where",
)  # fmt: skip
"""What has no int8 kernel in LiteRT, or is written as operators that lose too much in int8."""


class UnwrittenError(InvalidValueError):
    """A model holds something that is not written here; its only argument is what."""

    def __str__(self) -> str:
        """Say what it is; the argument alone goes from a child process to its parent."""
        return (
            f"`model` must have operators that hwnas writes for LiteRT, but got {self.args[0]}: "
            f"use the runtime onnxruntime or openvino."
        )


class Tensor(NamedTuple):
    """A tensor of the graph that is written.

    Attributes:
        number: in the graph.
        shape: in ONNX.
        axes: ONNX's dimensions in the order in which they are stored.
        scale: None in float32.
    """

    number: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    scale: Scale | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """Give the dimensions as ONNX stores them."""
        return tuple(range(len(self.shape)))


class Constant(NamedTuple):
    """A constant of the ONNX model, with its scale if it is quantised; `values` are stored ones."""

    values: Array
    scale: Scale | None

    @property
    def floats(self) -> Array:
        """Give the numbers that it stands for."""
        if self.scale is None:
            return self.values
        shape = [1] * self.values.ndim
        if len(self.scale.values) > 1:
            shape[self.scale.dimension] = -1
        scale, zero = (
            np.array(part, np.float32).reshape(shape if self.values.ndim else ())
            for part in (self.scale.values, self.scale.zeros)
        )
        return np.asarray((self.values - zero) * scale, np.float32)


@dataclass(frozen=True)
class Node:
    """An ONNX node.

    Attributes:
        kind: its operator.
        inputs: names; empty ones are not given.
        output: name of what it gives first, its activation included; empty if nothing reads it.
        attributes: by name.
        activation: LiteRT's number of the activation that follows; 0 if none does.
        more: names of its other outputs; empty ones are not read.
        stays: whether it is to compute in float32 in a model in int8.
    """

    kind: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, Any]
    activation: int = 0
    more: tuple[str, ...] = ()
    stays: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Give the names of all that it gives."""
        return (self.output, *self.more)


class Translation:
    """Walk the nodes and write each.

    Args:
        model: with constant shapes.
        writers: how each operator is written, by name in ONNX; one of several outputs gives a list.
        join: puts one node in the place of several that are one operator in LiteRT; its parts may
            stay.

    Raises:
        UnwrittenError: something is not written here.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        writers: Mapping[str, Callable[[Translation, Node], Tensor | list[Tensor]]],
        join: Callable[[Translation, Sequence[Node]], Sequence[Node]],
    ) -> None:
        self.graph = FlatGraph()
        self.float_operators: Counter[str] = Counter()
        """Operators of a quantised model that compute in float32, by ONNX's name."""
        self._writers, self._join = writers, join
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self._shapes = {v.name: _shape(v) for v in [*graph.value_info, *graph.output]}
        self._constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        nodes = [node for node in map(_read, graph.node) if not self._is_constant(node)]
        self._nodes = [self._as_today(node) for node in nodes]
        self._users = Counter(name for node in self._nodes for name in node.inputs)
        self._users.update(value.name for value in graph.output)
        self._quantised: dict[str, tuple[str, Scale]] = {}
        self._scales: dict[str, Scale] = {}
        self._read_scales()
        self._tensors: dict[tuple[str, Scale | None], Tensor] = {}
        self._in_int8 = False
        self._source, self._result = graph.input[0], graph.output[0].name

    def write(self) -> bytes:
        """Write everything; the model's bytes."""
        shape = _shape(self._source)
        axes = _stored(len(shape))
        kind = self._source.type.tensor_type.elem_type
        if kind not in _INPUTS:
            raise UnwrittenError(f"an input of {onnx.TensorProto.DataType.Name(kind)}")
        number = self.graph.tensor(tuple(shape[a] for a in axes), _INPUTS[kind])
        self._keep(self._source.name, Tensor(number, shape, axes))
        for node in self._needed(self._join(self, self._fused())):
            if node.kind not in ("QuantizeLinear", "DequantizeLinear"):
                self._write(node)
        self._in_int8 = False
        result = self.in_order(self.tensor(self._result))
        return self.graph.content(number, result.number)

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of what a node gives."""
        return self._shapes[name]

    def is_read(self, name: str) -> bool:
        """Tell whether a node or the caller reads what has this name."""
        return bool(name and self._users[name])

    def is_constant(self, name: str) -> bool:
        """Tell whether a name is that of a constant, quantised or not."""
        return self.origin(name) in self._constants

    def may_be_negative(self, name: str) -> bool:
        """Tell whether integers may be below 0: tokens of the input and what moves them are not."""
        if name == self._source.name:
            return bool(self._source.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)
        if self.is_constant(name):
            return bool((self.constant(name).values < 0).any())
        node = next((node for node in self._nodes if name in node.outputs), None)
        if node is None or node.kind not in _MOVING:
            return True
        return any(map(self.may_be_negative, node.inputs[: None if node.kind == "Concat" else 1]))

    def constant(self, name: str) -> Constant:
        """Give a constant."""
        if name in self._constants:
            return Constant(self._constants[name], None)
        if not self.is_constant(name):
            raise UnwrittenError("weights that are computed")
        origin, scale = self._quantised[name]
        return Constant(self._constants[origin], scale)

    def tensor(self, name: str) -> Tensor:
        """Give what a node or the input gives, in the format of the node that is written."""
        if name not in self._quantised:
            return self._of(name, None)
        # Through int8 even between float32 operators: activations are left to its bounds.
        origin, scale = self._quantised[name]
        self._tensors.setdefault((name, scale), self._of(origin, scale))
        return self._of(name, scale if self._in_int8 else None)

    def written(self, array: Array, scale: Scale | None = None) -> int:
        """Write a constant as it is stored; give its number."""
        if array.dtype == np.int64 and (array != array.astype(np.int32)).any():
            raise UnwrittenError("integers of more than 32 bits")
        return self.graph.constant(array, scale)

    def emit(
        self,
        code: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        scale: Scale | None,
        options: str = "",
        dtype: str = "",
        **values: Any,
    ) -> Tensor:
        """Write an operator and its result; without `dtype` it has the first input's format."""
        stored = tuple(shape[a] for a in axes)
        given = "int8" if scale else dtype or self.graph.dtype(inputs[0])
        number = self.graph.tensor(stored, given, scale)
        self.graph.add(code, inputs, [number], options, **values)
        return Tensor(number, shape, axes, scale)

    def parts(
        self,
        code: str,
        inputs: Sequence[int],
        count: int,
        shape: tuple[int, ...],
        options: str,
        **values: Any,
    ) -> list[Tensor]:
        """Write an operator of several equal results in float32, stored as ONNX does."""
        numbers = [self.graph.tensor(shape) for _ in range(count)]
        self.graph.add(code, inputs, numbers, options, **values)
        return [Tensor(number, shape, tuple(range(len(shape)))) for number in numbers]

    def wanted(self, node: Node) -> Scale | None:
        """Give the scale that a node's result is to have; None in float32."""
        return self._scales[node.output] if self._in_int8 else None

    def with_scale(self, tensor: Tensor, scale: Scale | None) -> Tensor:
        """Convert from int8 to float32, back, or to another scale, where that is needed."""
        if tensor.scale == scale:
            return tensor
        code, options = ("DEQUANTIZE", "DequantizeOptions") if scale is None else (
            "QUANTIZE", "QuantizeOptions"
        )  # fmt: skip
        inputs = [tensor.number]
        return self.emit(code, inputs, tensor.shape, tensor.axes, scale, options, "float32")

    def stored(self, tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Store the dimensions in another order, where that is needed."""
        if tensor.axes == axes:
            return tensor
        order = np.array([tensor.axes.index(a) for a in axes], np.int32)
        inputs = [tensor.number, self.written(order)]
        return self.emit("TRANSPOSE", inputs, tensor.shape, axes, tensor.scale, "TransposeOptions")

    def in_order(self, tensor: Tensor) -> Tensor:
        """Store the dimensions as ONNX does."""
        return self.stored(tensor, tensor.order)

    def image(self, name: str) -> Tensor:
        """Give a tensor of four dimensions, its channels last; a signal is an image of one row."""
        tensor = self.tensor(name)
        if len(tensor.shape) == 3:
            b, c, n = tensor.shape
            tensor = self.stored(tensor, (0, 2, 1))
            return self.reshaped(tensor, (b, c, 1, n), CHANNELS_LAST)
        if len(tensor.shape) != 4:
            raise UnwrittenError(f"an image of {len(tensor.shape)} dimensions")
        return self.stored(tensor, CHANNELS_LAST)

    def reshaped(self, tensor: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
        """Give the same numbers, in the order in which they are stored, another shape."""
        stored = np.array([shape[a] for a in axes], np.int32)
        inputs = [tensor.number, self.written(stored)]
        given = {"newShape": stored.tolist()}
        return self.emit("RESHAPE", inputs, shape, axes, tensor.scale, "ReshapeOptions", **given)

    def _write(self, node: Node) -> None:
        if node.kind not in self._writers:
            raise UnwrittenError(f"{node.kind}")
        can = node.kind not in _FLOAT_ONLY and not node.stays and node.output in self._scales
        active = [n for n in node.inputs if n and not self.is_constant(n) and not self._counts(n)]
        self._in_int8 = can and all(n in self._quantised for n in active) and self._has_scales(node)
        found = self._writers[node.kind](self, node)
        tensors = [found] if isinstance(found, Tensor) else found
        if self._scales and not self._in_int8 and self.graph.dtype(tensors[0].number) == "float32":
            self.float_operators[node.kind] += 1
        for name, tensor in zip(node.outputs, tensors, strict=False):
            if name:
                self._keep(name, self.with_scale(tensor, self._scales.get(name)))

    def saturates(self, node: Node) -> bool:
        """Tell whether the scale of an activation's result ends where the activation does.

        Then its integers do what it does, and a conversion to that scale is all there is of it:
        XNNPACK's takes a fiftieth of the time of LiteRT's activation from one scale to another.
        """
        scale = self._scales[node.output]
        ends: list[float | None] = [0.0]
        if node.kind == "Clip":
            ends = [self.constant(n).floats.item() if n else None for n in node.inputs[1:]]
        least, most = [*ends, None, None][:2]
        largest = scale.values[0] * (_MOST - _LEAST)
        ended = most is None or largest <= most * (1 + _ROUNDING)
        return least == 0.0 and scale.zeros == (_LEAST,) and ended

    def _has_scales(self, node: Node) -> bool:
        """Tell whether the constants of a sum or product, or of what joins, have one scale each.

        An activation between two numbers has no int8 kernel but where it `saturates`.
        """
        if node.kind == "Clip":
            return self.saturates(node)
        if node.kind not in _WITH_CONSTANTS:
            return True
        scales = [self.constant(name).scale for name in node.inputs if self.is_constant(name)]
        return all(scale is not None and len(scale.values) == 1 for scale in scales)

    def _counts(self, name: str) -> bool:
        """Tell whether what a node or the input gives is integers or truths, such as tokens."""
        known = self._tensors.get((name, None))
        return known is not None and self.graph.dtype(known.number) in ("int32", "bool")

    def _keep(self, name: str, tensor: Tensor) -> None:
        self._tensors[name, tensor.scale] = tensor

    def _of(self, name: str, scale: Scale | None) -> Tensor:
        """Give a tensor in a format; convert it once."""
        key = name, scale
        if key not in self._tensors:
            known = next((t for (n, _), t in self._tensors.items() if n == name), None)
            if known is None:
                raise UnwrittenError(f"the tensor {name!r} as an activation")
            self._tensors[key] = self.with_scale(known, scale)
        return self._tensors[key]

    def _fused(self) -> list[Node]:
        """Join an operator with the activation that alone reads its result."""
        after = {
            node.inputs[0]: (node, number)
            for node in self._nodes
            if (number := self.activation(node)) and self._users[node.inputs[0]] == 1
        }
        found, gone = [], set()
        for node in self._nodes:
            if node.output in gone:
                continue
            if node.kind in _FUSING and node.output in after:
                follows, number = after[node.output]
                gone.add(follows.output)
                node = replace(node, output=follows.output, activation=number)
            found.append(node)
        return found

    def _needed(self, nodes: Sequence[Node]) -> list[Node]:
        """Leave out what nothing reads, such as the parts of operators that were joined."""
        found, read = [], {self._result, self.origin(self._result)}
        for node in reversed(nodes):
            if any(name and name in read for name in node.outputs):
                found.append(node)
                read |= {*node.inputs, *map(self.origin, node.inputs)}
        return found[::-1]

    def activation(self, node: Node) -> int:
        """Give LiteRT's number of an activation that other operators compute on the way, or 0."""
        if node.kind == "Clip":
            found = [self._constants.get(name) for name in node.inputs[1:]]
            return 3 if [v.item() for v in found if v is not None] == [0.0, 6.0] else 0
        return 1 if node.kind == "Relu" else 0

    def origin(self, name: str) -> str:
        """Give what a name stands for before it was quantised, or itself."""
        return self._quantised[name][0] if name in self._quantised else name

    def _is_constant(self, node: Node) -> bool:
        """Take in what a node of the kind Constant holds."""
        if node.kind == "Constant":
            self._constants[node.output] = numpy_helper.to_array(node.attributes["value"])
        return node.kind == "Constant"

    def _as_today(self, node: Node) -> Node:
        """Give a node of an old operator set the inputs that are attributes there."""
        names = _ONCE_ATTRIBUTES.get(node.kind, ())
        if not any(name in node.attributes for name in names):
            return node
        inputs = [node.inputs[0]]
        for name in names:
            inputs.append(f"{node.output}, {name}" if name in node.attributes else "")
            if inputs[-1]:
                value = node.attributes[name]
                dtype = np.float32 if isinstance(value, float) else np.int64
                self._constants[inputs[-1]] = np.array(value, dtype)
        return replace(node, inputs=inputs)

    def _read_scales(self) -> None:
        """Say of each result of DequantizeLinear what it stands for, and by which scale."""
        quantised = {n.output: n for n in self._nodes if n.kind == "QuantizeLinear"}
        for node in self._nodes:
            if node.kind != "DequantizeLinear":
                continue
            before = quantised.get(node.inputs[0])
            origin = node.inputs[0] if before is None else before.inputs[0]
            self._quantised[node.output] = origin, self._scale(node)
            if before is not None and self._users[origin] == 1:
                self._scales[origin] = self._scale(node)

    def _scale(self, node: Node) -> Scale:
        values = np.atleast_1d(self._constants[node.inputs[1]])
        zeros = np.zeros(len(values), np.int64)
        if len(node.inputs) > 2:
            given = np.atleast_1d(self._constants[node.inputs[2]])
            if given.dtype not in (np.int8, np.int32):
                raise UnwrittenError(f"quantisation to {given.dtype}")
            zeros = given.astype(np.int64)
        return Scale(
            tuple(map(float, values)),
            tuple(map(int, zeros)),
            int(node.attributes.get("axis", 1)) if len(values) > 1 else 0,
        )


def _stored(rank: int) -> tuple[int, ...]:
    return CHANNELS_LAST if rank == 4 else tuple(range(rank))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(int(d.dim_value) for d in value.type.tensor_type.shape.dim)


def _read(node: onnx.NodeProto) -> Node:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    stays, more = node.doc_string == STAYS, tuple(node.output[1:])
    return Node(kind, tuple(node.input), node.output[0], attributes, more=more, stays=stays)
