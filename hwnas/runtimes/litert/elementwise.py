"""Operators of single numbers, comparisons and reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import TensorProto

from hwnas.runtimes.base import Array
from hwnas.runtimes.litert.flatbuffer import Scale
from hwnas.runtimes.litert.translation import Node, Tensor, Translation, UnwrittenError

_RELU6 = 3
OF_LOGISTIC = Scale((1 / 256,), (-128,))
_OF_TANH = Scale((1 / 128,), (0,))
"""Scales that LiteRT's int8 kernels give, whatever is wanted."""
_CLIPS: Mapping[tuple[float | None, ...], str] = {
    (0.0, 6.0): "RELU6",
    (0.0, 1.0): "RELU_0_TO_1",
    (-1.0, 1.0): "RELU_N1_TO_1",
}
_DTYPES: Mapping[int, str] = {
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT: "float32",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int32",
}


def two(code: str, options: str = "", dtype: str = "") -> Callable[[Translation, Node], Tensor]:
    """Write an operator of two inputs, which broadcast."""

    def write(t: Translation, node: Node) -> Tensor:
        active = [t.tensor(name) for name in node.inputs if not t.is_constant(name)]
        if not active:
            raise UnwrittenError(f"{node.kind} of constants")
        model = max(active, key=lambda tensor: len(tensor.shape))
        if len(model.shape) < (rank := len(t.shape(node.output))):  # a constant has more of them
            model = t.reshaped(t.in_order(model), (1,) * (rank - len(model.shape)) + model.shape,
                               tuple(range(rank)))  # fmt: skip
        numbers = [operand(t, node, name, model) for name in node.inputs]
        return t.emit(
            code, numbers, t.shape(node.output), model.axes, t.wanted(node), options, dtype,
            **({"fusedActivationFunction": node.activation} if node.activation else {}),
        )  # fmt: skip

    return write


def operand(t: Translation, node: Node, name: str, like: Tensor) -> int:
    """Give a tensor or constant, stored like another one of as many dimensions or more."""
    if not t.is_constant(name):
        tensor = t.tensor(name)
        if lacking := len(like.shape) - len(tensor.shape):
            shape = (1,) * lacking + tensor.shape
            tensor = t.reshaped(t.in_order(tensor), shape, tuple(range(len(shape))))
        return t.stored(tensor, like.axes).number
    constant = t.constant(name)
    in_int8 = t.wanted(node) is not None
    values: Array = constant.values if in_int8 else constant.floats
    values = values.reshape((1,) * (len(like.shape) - values.ndim) + values.shape)
    stored = np.ascontiguousarray(values.transpose(like.axes))
    return t.written(stored, constant.scale if in_int8 else None)


def one(code: str, options: str = "", scale: Scale | None = None) -> Callable[..., Tensor]:
    """Write an operator of one input whose result in int8 has this scale, or the wanted one."""

    def write(t: Translation, node: Node) -> Tensor:
        tensor = t.tensor(node.inputs[0])
        given = None if t.wanted(node) is None else scale or t.wanted(node)
        return t.emit(code, [tensor.number], tensor.shape, tensor.axes, given, options)

    return write


def _reduced(code: str) -> Callable[..., Tensor]:
    """Write a reduction of the node's input, or of what was made of it."""

    def write(t: Translation, node: Node, made: Tensor | None = None) -> Tensor:
        tensor = made or t.tensor(node.inputs[0])
        rank = len(tensor.shape)
        if node.kind == "GlobalAveragePool":
            reduced, keep = list(range(2, rank)), True
        else:
            # An input from opset 18 on, an attribute before.
            given = node.attributes.get("axes", ())
            if len(node.inputs) > 1 and node.inputs[1]:
                given = t.constant(node.inputs[1]).values
            if not len(given) and node.attributes.get("noop_with_empty_axes"):
                raise UnwrittenError(f"{node.kind} over no dimension")
            reduced = [int(a) % rank for a in given] or list(range(rank))
            keep = bool(node.attributes.get("keepdims", 1))
        places = np.array(sorted(tensor.axes.index(a) for a in reduced), np.int32)
        left = [a for a in tensor.axes if keep or a not in reduced]
        axes = tuple(sorted(left).index(a) for a in left)
        return t.emit(
            code, [tensor.number, t.written(places)], t.shape(node.output), axes, t.wanted(node),
            "ReducerOptions", keepDims=keep,
        )  # fmt: skip

    return write


def _leaky(t: Translation, node: Node) -> Tensor:
    x, slope = t.tensor(node.inputs[0]), float(node.attributes.get("alpha", 0.01))
    return t.emit("LEAKY_RELU", [x.number], x.shape, x.axes, t.wanted(node),
                  "LeakyReluOptions", alpha=slope)  # fmt: skip


def _hard_sigmoid(t: Translation, node: Node) -> Tensor:
    """Write it as ReLU6(x + 3) / 6."""
    slope, shift = (float(node.attributes.get(n, d)) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    if abs(slope - 1 / 6) > 1e-6 or shift != 0.5:
        raise UnwrittenError("HardSigmoid of another slope than 1/6")
    x = t.tensor(node.inputs[0])
    three, sixth = (t.written(np.array(v, np.float32)) for v in (3.0, 1 / 6))
    above = t.emit("ADD", [x.number, three], x.shape, x.axes, None,
                   "AddOptions", fusedActivationFunction=_RELU6)  # fmt: skip
    return t.emit("MUL", [above.number, sixth], x.shape, x.axes, None, "MulOptions")


def _relu(t: Translation, node: Node) -> Tensor:
    if (scale := t.wanted(node)) is not None and t.saturates(node):
        return t.with_scale(t.tensor(node.inputs[0]), scale)
    return one("RELU")(t, node)


def _clip(t: Translation, node: Node) -> Tensor:
    """Write the activation that it is, else the larger and the smaller number."""
    if (scale := t.wanted(node)) is not None:  # it saturates
        return t.with_scale(t.tensor(node.inputs[0]), scale)
    bounds = [t.constant(n).floats if n else None for n in [*node.inputs[1:], "", ""][:2]]
    known = [None if b is None else float(b.item()) for b in bounds]
    x = t.tensor(node.inputs[0])
    # It has them of no integers.
    if t.graph.dtype(x.number) == "float32" and (code := _CLIPS.get(tuple(known))):
        return one(code)(t, node)
    for code, bound in zip(("MAXIMUM", "MINIMUM"), bounds, strict=True):
        if bound is not None:
            inputs = [x.number, t.written(bound.reshape(()))]
            x = t.emit(code, inputs, x.shape, x.axes, None, "MaximumMinimumOptions")
    return x


def _several(code: str) -> Callable[[Translation, Node], Tensor]:
    """Write an operator of any number of inputs, two by two."""

    def write(t: Translation, node: Node) -> Tensor:
        if len(node.inputs) != 2:
            raise UnwrittenError(f"{node.kind} of {len(node.inputs)} inputs")
        return two(code, "MaximumMinimumOptions")(t, node)

    return write


def _length(t: Translation, node: Node) -> Tensor:
    """Write the root of the sum of squares."""
    x = t.tensor(node.inputs[0])
    squares = t.emit("MUL", [x.number, x.number], x.shape, x.axes, None, "MulOptions")
    found = _reduced("SUM")(t, node, squares)
    return t.emit("SQRT", [found.number], found.shape, found.axes, None)


def _softplus(t: Translation, node: Node) -> Tensor:
    """Write max(x, 0) + log(1 + exp(-|x|)), which no large number overflows."""
    x = t.tensor(node.inputs[0])

    def single(code: str, of: Tensor) -> Tensor:
        return t.emit(code, [of.number], x.shape, x.axes, None)

    small = single("EXP", single("NEG", single("ABS", x)))
    above = [small.number, t.written(np.array(1, np.float32))]
    rest = single("LOG", t.emit("ADD", above, x.shape, x.axes, None, "AddOptions"))
    inputs = [single("RELU", x).number, rest.number]
    return t.emit("ADD", inputs, x.shape, x.axes, None, "AddOptions")


def _is_nan(t: Translation, node: Node) -> Tensor:
    """Write it as a number that is not equal to itself."""
    x = t.tensor(node.inputs[0])
    return t.emit("NOT_EQUAL", [x.number] * 2, x.shape, x.axes, None, "NotEqualOptions", "bool")


def _remainder(t: Translation, node: Node) -> Tensor:
    """Write the remainder of integers that has the divisor's sign."""
    if node.attributes.get("fmod") or t.graph.dtype(t.tensor(node.inputs[0]).number) != "int32":
        raise UnwrittenError("Mod of real numbers, or with the dividend's sign")
    return two("FLOOR_MOD", "FloorModOptions")(t, node)


def _cast(t: Translation, node: Node) -> Tensor:
    x, to = t.tensor(node.inputs[0]), int(node.attributes["to"])
    if to not in _DTYPES:
        raise UnwrittenError(f"Cast to {TensorProto.DataType.Name(to)}")
    if t.graph.dtype(x.number) == _DTYPES[to]:
        return x
    return t.emit("CAST", [x.number], x.shape, x.axes, None, "CastOptions", _DTYPES[to])


def _where(t: Translation, node: Node) -> Tensor:
    """Write a choice between two tensors or constants."""
    shape = t.shape(node.output)
    axes = tuple(range(len(shape)))
    like = Tensor(-1, shape, axes)
    truths, *values = (operand(t, node, name, like) for name in node.inputs)
    return t.emit("SELECT_V2", [truths, *values], shape, axes, None, "", t.graph.dtype(values[0]))


ELEMENTWISE: Mapping[str, Callable[[Translation, Node], Tensor]] = {
    "Abs": one("ABS"),
    "Add": two("ADD", "AddOptions"),
    "And": two("LOGICAL_AND"),
    "Cast": _cast,
    "Ceil": one("CEIL"),
    "Clip": _clip,
    "Cos": one("COS"),
    "Div": two("DIV", "DivOptions"),
    "Equal": two("EQUAL", dtype="bool"),
    "Exp": one("EXP"),
    "Floor": one("FLOOR"),
    "GlobalAveragePool": _reduced("MEAN"),
    "Greater": two("GREATER", dtype="bool"),
    "GreaterOrEqual": two("GREATER_EQUAL", dtype="bool"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": one("HARD_SWISH", "HardSwishOptions"),
    "IsNaN": _is_nan,
    "LeakyRelu": _leaky,
    "Less": two("LESS", dtype="bool"),
    "LessOrEqual": two("LESS_EQUAL", dtype="bool"),
    "Log": one("LOG"),
    "Max": _several("MAXIMUM"),
    "Min": _several("MINIMUM"),
    "Mod": _remainder,
    "Mul": two("MUL", "MulOptions"),
    "Neg": one("NEG"),
    "Not": one("LOGICAL_NOT"),
    "Or": two("LOGICAL_OR"),
    "Pow": two("POW"),
    "ReduceL2": _length,
    "ReduceMax": _reduced("REDUCE_MAX"),
    "ReduceMean": _reduced("MEAN"),
    "ReduceMin": _reduced("REDUCE_MIN"),
    "ReduceSum": _reduced("SUM"),
    "Relu": _relu,
    "Round": one("ROUND"),
    "Sigmoid": one("LOGISTIC", scale=OF_LOGISTIC),
    "Sin": one("SIN"),
    "Softplus": _softplus,
    "Sqrt": one("SQRT"),
    "Sub": two("SUB", "SubOptions"),
    "Tanh": one("TANH", scale=_OF_TANH),
    "Where": _where,
}
