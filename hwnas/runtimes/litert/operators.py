"""How ONNX's operators are spelled in LiteRT; what is not in `WRITERS` is not written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwnas.runtimes.litert.elementwise import ELEMENTWISE, OF_LOGISTIC, operand
from hwnas.runtimes.litert.flatbuffer import Scale
from hwnas.runtimes.litert.more_operators import MORE_WRITERS, matmul
from hwnas.runtimes.litert.recurrent import RECURRENT
from hwnas.runtimes.litert.resizing import resize, transposed_conv
from hwnas.runtimes.litert.signals import filters, in_two_dimensions, narrow, wide
from hwnas.runtimes.litert.translation import (
    CHANNELS_LAST,
    Node,
    Tensor,
    Translation,
    UnwrittenError,
)

_SAME, _VALID = 0, 1


def _conv(t: Translation, node: Node) -> Tensor:
    input, node = t.image(node.inputs[0]), in_two_dimensions(t, node)
    weight = filters(t, node)
    if weight.values.ndim != 4:
        raise UnwrittenError("a convolution of another kind than of images and signals")
    groups, channels = int(node.attributes.get("group", 1)), input.shape[1]
    steps = [int(d) for d in node.attributes.get("dilations", (1, 1))]
    strides = [int(s) for s in node.attributes.get("strides", (1, 1))]
    sides = [(k - 1) * d + 1 for k, d in zip(weight.values.shape[2:], steps, strict=True)]
    input, padding = _padded(t, input, _pads(node, input, sides, strides), sides, strides)
    alone = groups == channels > 1
    # One filter a channel is stored as (1, H, W, O), all others as (O, H, W, I).
    order, dimension = ((1, 2, 3, 0), 3) if alone else ((0, 2, 3, 1), 0)
    options = "DepthwiseConv2DOptions" if alone else "Conv2DOptions"
    more = {"depthMultiplier": weight.values.shape[0] // channels} if alone else {}
    found = t.emit(
        "DEPTHWISE_CONV_2D" if alone else "CONV_2D",
        [input.number, *_weights(t, node, input, order, dimension)],
        wide(t.shape(node.output)), CHANNELS_LAST, t.wanted(node), options,
        padding=padding, strideH=strides[0], strideW=strides[1], dilationHFactor=steps[0],
        dilationWFactor=steps[1], fusedActivationFunction=node.activation, **more,
    )  # fmt: skip
    return narrow(t, found, t.shape(node.output))


def _weights(
    t: Translation, node: Node, input: Tensor, order: Sequence[int], dimension: int
) -> tuple[int, int]:
    """Write weights in another order, and a bias, of zeros where there is none."""
    weight = filters(t, node)
    of_outputs = order[0] if node.kind in ("Gemm", "MatMul") else 0
    outputs = weight.values.shape[of_outputs]
    biased = len(node.inputs) > 2 and node.inputs[2]
    bias = t.constant(node.inputs[2]).floats if biased else np.zeros((), np.float32)
    if bias.size > 1 and (bias.size, bias.shape[-1]) != (outputs, outputs):
        raise UnwrittenError(f"{node.kind} whose bias is no number an output")
    # A single number is that of every output.
    numbers = np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), outputs))
    if t.wanted(node) is None:
        return t.written(np.ascontiguousarray(weight.floats.transpose(order))), t.written(numbers)
    if weight.scale is None or weight.values.dtype != np.int8 or input.scale is None:
        raise UnwrittenError("int8 activations with weights that are not int8")
    if len(weight.scale.values) > 1 and weight.scale.dimension != of_outputs:
        raise UnwrittenError(f"{node.kind} in int8 whose weights have no scale an output")
    of_weight = Scale(weight.scale.values, weight.scale.zeros, dimension)
    of_bias = Scale(
        tuple(input.scale.values[0] * v for v in of_weight.values), (0,) * len(of_weight.values)
    )
    values = np.round(numbers / np.array(of_bias.values)).astype(np.int32)
    return (
        t.written(np.ascontiguousarray(weight.values.transpose(order)), of_weight),
        t.written(values, of_bias),
    )


def _pads(node: Node, image: Tensor, sides: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Give what is padded: top, left, bottom, right."""
    automatic = node.attributes.get("auto_pad", b"NOTSET").decode()
    if automatic == "NOTSET":
        return [int(p) for p in node.attributes.get("pads", (0, 0, 0, 0))]
    if automatic == "VALID":
        return [0, 0, 0, 0]
    # SAME_UPPER has the larger half behind, SAME_LOWER in front.
    pads = _same_pads(image.shape[2:], sides, strides)
    return pads if automatic == "SAME_UPPER" else pads[2:] + pads[:2]


def _padded(
    t: Translation,
    image: Tensor,
    pads: Sequence[int],
    sides: Sequence[int],
    strides: Sequence[int],
    filling: float = 0.0,
) -> tuple[Tensor, int]:
    """Give the image and LiteRT's padding that together pad as ONNX says.

    LiteRT knows no padding and one that makes the size that of the strides alone; any other one
    is an operator of its own.
    """
    if not any(pads):
        return image, _VALID
    if pads == _same_pads(image.shape[2:], sides, strides):
        return image, _SAME
    around = [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]]
    shape = (*image.shape[:2], *(n + pads[i] + pads[i + 2] for i, n in enumerate(image.shape[2:])))
    inputs = [image.number, t.written(np.array(around, np.int32))]
    code, options = "PAD", "PadOptions"
    if filling:
        value = np.array([filling], np.float32 if image.scale is None else np.int8)
        inputs.append(t.written(value, image.scale))
        code, options = "PADV2", "PadV2Options"
    return t.emit(code, inputs, shape, CHANNELS_LAST, image.scale, options), _VALID


def _same_pads(sizes: Sequence[int], sides: Sequence[int], strides: Sequence[int]) -> list[int]:
    whole = [max(0, -(-n // s) * s - s + k - n) for n, k, s in zip(sizes, sides, strides,
                                                                    strict=True)]  # fmt: skip
    return [p // 2 for p in whole] + [p - p // 2 for p in whole]


def _pool(code: str) -> Callable[[Translation, Node], Tensor]:
    def write(t: Translation, node: Node) -> Tensor:
        image, node = t.image(node.inputs[0]), in_two_dimensions(t, node)
        sides = [int(k) for k in node.attributes["kernel_shape"]]
        strides = [int(s) for s in node.attributes.get("strides", (1, 1))]
        pads = _pads(node, image, sides, strides)
        if node.attributes.get("ceil_mode") or set(node.attributes.get("dilations", (1,))) != {1}:
            raise UnwrittenError("a pool that rounds up or has holes")
        lowest = float(np.finfo(np.float32).min) if image.scale is None else -128.0
        counted = code == "MAX_POOL_2D" or node.attributes.get("count_include_pad", 0)
        if code == "AVERAGE_POOL_2D" and counted and any(pads):
            # LiteRT's own padding is never counted.
            image, padding = _padded(t, image, pads, [0, 0], [1, 1])
        elif not counted and any(pads) and pads != _same_pads(image.shape[2:], sides, strides):
            raise UnwrittenError("an average pool with padding on other sides than LiteRT has")
        else:
            image, padding = _padded(t, image, pads, sides, strides, lowest)
        found = t.emit(
            code, [image.number], wide(t.shape(node.output)), CHANNELS_LAST, image.scale,
            "Pool2DOptions", padding=padding, strideH=strides[0], strideW=strides[1],
            filterHeight=sides[0], filterWidth=sides[1],
        )  # fmt: skip
        return narrow(t, found, t.shape(node.output))

    return write


def _linear(t: Translation, node: Node) -> Tensor:
    """Write Gemm and MatMul with constant weights."""
    input = t.in_order(t.tensor(node.inputs[0]))
    attributes = node.attributes
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
    if attributes.get("transA") or not plain or t.constant(node.inputs[1]).values.ndim != 2:
        raise UnwrittenError(f"{node.kind} with factors, or of more than a matrix")
    weights = _weights(t, node, input, (0, 1) if attributes.get("transB") else (1, 0), 0)
    return t.emit(
        "FULLY_CONNECTED", [input.number, *weights], t.shape(node.output),
        tuple(range(len(input.shape))), t.wanted(node), "FullyConnectedOptions",
        keepNumDims=len(input.shape) > 2, fusedActivationFunction=node.activation,
    )  # fmt: skip


def _batch_norm(t: Translation, node: Node) -> Tensor:
    """Write what no convolution before it takes in: a product and a sum."""
    x = t.tensor(node.inputs[0])
    scale, shift, mean, variance = (t.constant(name).floats for name in node.inputs[1:])
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    factors, shifts = (
        t.written(np.ascontiguousarray(v.reshape(shape).transpose(x.axes), np.float32))
        for v in (factor, shift - mean * factor)
    )
    y = t.emit("MUL", [x.number, factors], x.shape, x.axes, None, "MulOptions")
    return t.emit("ADD", [y.number, shifts], x.shape, x.axes, None,
                  "AddOptions", fusedActivationFunction=node.activation)  # fmt: skip


def _softmax(t: Translation, node: Node) -> Tensor:
    """Write Softmax and LogSoftmax, which LiteRT has of the dimension that is stored last."""
    x = t.tensor(node.inputs[0])
    axis = int(node.attributes.get("axis", -1 if t.opset >= 13 else 1)) % len(x.shape)
    if t.opset < 13 and math.prod(x.shape[axis + 1 :]) > 1:
        raise UnwrittenError(f"{node.kind} over several dimensions, as before operator set 13")
    x = t.stored(x, (*(a for a in x.axes if a != axis), axis))
    if node.kind == "LogSoftmax":
        return t.emit("LOG_SOFTMAX", [x.number], x.shape, x.axes, None, "LogSoftmaxOptions")
    scale = None if t.wanted(node) is None else OF_LOGISTIC
    return t.emit("SOFTMAX", [x.number], x.shape, x.axes, scale, "SoftmaxOptions", beta=1.0)


def _concat(t: Translation, node: Node) -> Tensor:
    scale = t.wanted(node)
    active = [name for name in node.inputs if not t.is_constant(name)]
    if not active:
        raise UnwrittenError("Concat of constants")
    first = t.tensor(active[0])
    parts = [t.with_scale(_part(t, node, name, first), scale) for name in node.inputs]
    axis = int(node.attributes["axis"]) % len(first.shape)
    return t.emit(
        "CONCATENATION", [p.number for p in parts], t.shape(node.output), first.axes, scale,
        "ConcatenationOptions", axis=first.axes.index(axis),
    )  # fmt: skip


def _part(t: Translation, node: Node, name: str, like: Tensor) -> Tensor:
    """Give what is joined, stored as another part is."""
    if not t.is_constant(name):
        return t.stored(t.tensor(name), like.axes)
    constant = t.constant(name)
    scale = None if t.wanted(node) is None else constant.scale
    return Tensor(operand(t, node, name, like), constant.values.shape, like.axes, scale)


def _reshape(t: Translation, node: Node) -> Tensor:
    """Write a reshape; where channels are split or joined, without a transposition."""
    x, shape = t.tensor(node.inputs[0]), t.shape(node.output)
    axes = tuple(range(len(shape)))
    ranks = len(x.shape), len(shape)
    inner = (x.shape[2:] == shape[3:]) if ranks == (4, 5) else (x.shape[3:] == shape[2:])
    if ranks in ((4, 5), (5, 4)) and x.shape[0] == shape[0] and inner:
        images, groups = CHANNELS_LAST, (0, 3, 4, 1, 2)
        x = t.stored(x, images if ranks == (4, 5) else groups)
        axes = groups if ranks == (4, 5) else images
    elif (wide := [a for a in x.axes if x.shape[a] > 1]) != sorted(wide):
        x = t.in_order(x)
    return t.reshaped(x, shape, axes)


def _transpose(t: Translation, node: Node) -> Tensor:
    """Only rename the dimensions: what needs them in an order stores them so."""
    x = t.tensor(node.inputs[0])
    order = [int(a) for a in node.attributes.get("perm", range(len(x.shape))[::-1])]
    axes = tuple(order.index(a) for a in x.axes)
    return Tensor(x.number, tuple(x.shape[a] for a in order), axes, x.scale)


def _same(t: Translation, node: Node) -> Tensor:
    return t.tensor(node.inputs[0])


WRITERS: Mapping[str, Callable[[Translation, Node], Tensor | list[Tensor]]] = {
    "AveragePool": _pool("AVERAGE_POOL_2D"),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": transposed_conv,
    "Flatten": _reshape,
    "Gemm": _linear,
    "Identity": _same,
    "MatMul": matmul(_linear),
    "MaxPool": _pool("MAX_POOL_2D"),
    "Reshape": _reshape,
    "Resize": resize,
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    **MORE_WRITERS,
    **RECURRENT,
    **ELEMENTWISE,
}
