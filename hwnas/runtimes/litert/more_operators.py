"""How ONNX's operators of attention, generators and signals are spelled in LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwnas.runtimes.litert.flatbuffer import Scale
from hwnas.runtimes.litert.translation import (
    CHANNELS_LAST,
    Node,
    Tensor,
    Translation,
    UnwrittenError,
)

_REFLECT = 0


def _layer_norm(t: Translation, node: Node) -> Tensor:
    x = t.tensor(node.inputs[0])
    rank = len(x.shape)
    return _normalised(t, node, x, range(int(node.attributes.get("axis", -1)) % rank, rank), rank)


def _instance_norm(t: Translation, node: Node) -> Tensor:
    x = t.tensor(node.inputs[0])
    return _normalised(t, node, x, range(2, len(x.shape)), 2)


def _normalised(t: Translation, node: Node, x: Tensor, over: Sequence[int], end: int) -> Tensor:
    """Write (x - mean) / sqrt(variance + epsilon), times a scale, and a bias where there is one.

    Args:
        t: what is written.
        node: its second and third input are scale and bias.
        x: what is normalised.
        over: dimensions that mean and variance are taken over.
        end: the dimension that the last one of scale and bias stands before.
    """
    places = t.written(np.array(sorted(x.axes.index(a) for a in over), np.int32))
    one = tuple(1 if i in over else n for i, n in enumerate(x.shape))
    epsilon = np.array(node.attributes.get("epsilon", 1e-5), np.float32)

    def mean(of: Tensor) -> Tensor:
        inputs = [of.number, places]
        return t.emit("MEAN", inputs, one, x.axes, None, "ReducerOptions", keepDims=True)

    def two(code: str, a: int, b: int, shape: tuple[int, ...] = x.shape) -> Tensor:
        return t.emit(code, [a, b], shape, x.axes, None, f"{code.title()}Options")

    centred = two("SUB", x.number, mean(x).number)
    variance = mean(two("MUL", centred.number, centred.number))
    above = two("ADD", variance.number, t.written(epsilon), one)
    inverse = t.emit("RSQRT", [above.number], one, x.axes, None)
    found = two("MUL", centred.number, inverse.number)
    for code, name in zip(("MUL", "ADD"), node.inputs[1:], strict=False):
        if name:
            found = two(code, found.number, _like(t, name, x, end))
    return found


def _like(t: Translation, name: str, x: Tensor, end: int) -> int:
    """Write a constant whose dimensions end before `end` of a tensor's, stored as this is."""
    values = t.constant(name).floats
    before, after = end - values.ndim, len(x.shape) - end
    whole = values.reshape((1,) * before + values.shape + (1,) * after)
    return t.written(np.ascontiguousarray(whole.transpose(x.axes)))


def _products(t: Translation, node: Node) -> Tensor:
    """Write MatMul of two activations."""
    a, b = (t.in_order(t.tensor(name)) for name in node.inputs)
    if min(len(a.shape), len(b.shape)) < 2:
        raise UnwrittenError("MatMul of a vector")
    shape = t.shape(node.output)
    axes = tuple(range(len(shape)))
    inputs = [a.number, b.number]
    return t.emit("BATCH_MATMUL", inputs, shape, axes, t.wanted(node), "BatchMatMulOptions")


def matmul(linear: Callable[[Translation, Node], Tensor]) -> Callable[..., Tensor]:
    """Write MatMul as `linear` where its weights are constant."""

    def write(t: Translation, node: Node) -> Tensor:
        return linear(t, node) if t.is_constant(node.inputs[1]) else _products(t, node)

    return write


def _slice(t: Translation, node: Node) -> Tensor:
    x = t.tensor(node.inputs[0])
    names = [*node.inputs[1:], "", ""][:4]
    starts, ends, which, steps = (t.constant(n).values.tolist() if n else [] for n in names)
    which, steps = which or range(len(starts)), steps or [1] * len(starts)
    ranges = [range(n) for n in x.shape]
    for start, end, axis, step in zip(starts, ends, which, steps, strict=True):
        ranges[axis] = ranges[axis][start:end:step]
    return cut(t, x, ranges)


def cut(t: Translation, x: Tensor, chosen: Sequence[range]) -> Tensor:
    """Write a choice of a range along each of ONNX's dimensions; one may go backwards."""
    ranges = list(chosen)
    for axis, places in enumerate(chosen):
        if places.step < 0:  # which no end of LiteRT's says if it ends with the first
            shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
            inputs = [x.number, t.written(np.array(places, np.int32))]
            x = t.emit("GATHER", inputs, shape, x.axes, x.scale,
                       "GatherOptions", axis=x.axes.index(axis))  # fmt: skip
            ranges[axis] = range(len(places))
    if ranges == [range(n) for n in x.shape]:
        return x
    parts = [[(r.start, r.stop, r.step)[i] for r in (ranges[a] for a in x.axes)] for i in range(3)]
    inputs = [x.number, *(t.written(np.array(part, np.int32)) for part in parts)]
    shape = tuple(map(len, ranges))
    return t.emit("STRIDED_SLICE", inputs, shape, x.axes, x.scale, "StridedSliceOptions")


def _split(t: Translation, node: Node) -> list[Tensor]:
    x = t.tensor(node.inputs[0])
    axis, count = int(node.attributes.get("axis", 0)) % len(x.shape), len(node.outputs)
    each = -(-x.shape[axis] // count)
    sizes = [min(each, x.shape[axis] - i * each) for i in range(count)]
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = t.constant(node.inputs[1]).values.tolist()
    ends, whole = np.cumsum(sizes).tolist(), [range(n) for n in x.shape]
    return [
        cut(t, x, [*whole[:axis], range(end - size, end), *whole[axis + 1 :]])
        if t.is_read(name) else x
        for name, size, end in zip(node.outputs, sizes, ends, strict=True)
    ]  # fmt: skip


def _rows(t: Translation, node: Node) -> tuple[int, Scale | None]:
    """Give what is chosen from, stored as ONNX does: its number, and its scale in int8."""
    if not t.is_constant(node.inputs[0]):
        x = t.in_order(t.tensor(node.inputs[0]))
        return x.number, x.scale
    table = t.constant(node.inputs[0])
    scale = table.scale if t.wanted(node) else None
    return t.written(table.values, scale) if scale else t.written(table.floats), scale


def _places(t: Translation, name: str, sizes: int | Sequence[int]) -> int:
    """Give computed places, from 0 on: in ONNX those below 0 count from the end."""
    places = t.in_order(t.tensor(name))
    if not t.may_be_negative(name):
        return places.number
    inputs = [places.number, t.written(np.array(sizes, np.int32))]
    return t.emit("FLOOR_MOD", inputs, places.shape, places.axes, None, "FloorModOptions").number


def _embedding(t: Translation, node: Node) -> Tensor:
    """Write a choice of a constant's rows by numbers that are computed, or the input's tokens."""
    sizes = t.constant(node.inputs[0]).values.shape
    axis, shape = int(node.attributes.get("axis", 0)) % len(sizes), t.shape(node.output)
    rows, scale = _rows(t, node)
    inputs, axes = [rows, _places(t, node.inputs[1], sizes[axis])], tuple(range(len(shape)))
    return t.emit("GATHER", inputs, shape, axes, scale, "GatherOptions", axis=axis)


def _gather(t: Translation, node: Node) -> Tensor:
    """Write a choice along one dimension: one place, which leaves it out, or several."""
    if t.is_constant(node.inputs[0]):
        return _embedding(t, node)
    if not t.is_constant(node.inputs[1]):
        raise UnwrittenError("Gather whose data and places are both computed")
    x, places = t.tensor(node.inputs[0]), t.constant(node.inputs[1]).values
    if places.ndim > 1:
        raise UnwrittenError("Gather of more than one dimension")
    axis = int(node.attributes.get("axis", 0)) % len(x.shape)
    places = np.where(places < 0, places + x.shape[axis], places).astype(np.int32)
    inputs = [x.number, t.written(places)]
    left = [a for a in x.axes if places.ndim or a != axis]
    axes = tuple(sorted(left).index(a) for a in left)
    return t.emit("GATHER", inputs, t.shape(node.output), axes, x.scale,
                  "GatherOptions", axis=x.axes.index(axis))  # fmt: skip


def _gather_nd(t: Translation, node: Node) -> Tensor:
    """Write a choice by places along the first dimensions, as of `nearest-exact` or by indices."""
    if node.attributes.get("batch_dims"):
        raise UnwrittenError("GatherND of a batch")
    rows, scale = _rows(t, node)
    sizes, shape = t.graph.shape(rows), t.shape(node.output)
    if t.is_constant(node.inputs[1]):
        places = t.constant(node.inputs[1]).values
        number = t.written(np.where(places < 0, places + sizes[: places.shape[-1]], places))
    else:
        number = _places(t, node.inputs[1], sizes[: t.shape(node.inputs[1])[-1]])
    axes = tuple(range(len(shape)))
    return t.emit("GATHER_ND", [rows, number], shape, axes, scale, "GatherNdOptions")


def _tile(t: Translation, node: Node) -> Tensor:
    x, times = t.in_order(t.tensor(node.inputs[0])), t.constant(node.inputs[1]).values
    inputs, shape = [x.number, t.written(times)], t.shape(node.output)
    return t.emit("TILE", inputs, shape, x.axes, x.scale, "TileOptions")


def _expand(t: Translation, node: Node) -> Tensor:
    x, shape = t.in_order(t.tensor(node.inputs[0])), t.shape(node.output)
    x = t.reshaped(x, (1,) * (len(shape) - len(x.shape)) + x.shape, tuple(range(len(shape))))
    times = np.array([n // m for n, m in zip(shape, x.shape, strict=True)], np.int32)
    return t.emit("TILE", [x.number, t.written(times)], shape, x.axes, x.scale, "TileOptions")


def _gelu(t: Translation, node: Node) -> Tensor:
    x, by_tanh = t.tensor(node.inputs[0]), node.attributes.get("approximate") == b"tanh"
    return t.emit("GELU", [x.number], x.shape, x.axes, None, "GeluOptions", approximate=by_tanh)


def _elu(t: Translation, node: Node) -> Tensor:
    if node.attributes.get("alpha", 1.0) != 1.0:
        raise UnwrittenError("Elu of another alpha than 1")
    x = t.tensor(node.inputs[0])
    return t.emit("ELU", [x.number], x.shape, x.axes, None)


def _prelu(t: Translation, node: Node) -> Tensor:
    x = t.tensor(node.inputs[0])
    slope = t.constant(node.inputs[1]).floats
    whole = slope.reshape((1,) * (len(x.shape) - slope.ndim) + slope.shape)
    # Its slopes have no batch.
    stored = np.ascontiguousarray(whole.transpose(x.axes)[0])
    return t.emit("PRELU", [x.number, t.written(stored)], x.shape, x.axes, None)


def _depth_to_space(t: Translation, node: Node) -> Tensor:
    image, side = t.image(node.inputs[0]), int(node.attributes["blocksize"])
    if node.attributes.get("mode", b"DCR") == b"CRD":
        # ONNX's channels are (C, side, side) here, LiteRT's (side, side, C).
        places = np.arange(image.shape[1]).reshape(-1, side * side).T.ravel().astype(np.int32)
        inputs = [image.number, t.written(places)]
        image = t.emit("GATHER", inputs, image.shape, CHANNELS_LAST, image.scale,
                       "GatherOptions", axis=3)  # fmt: skip
    return t.emit("DEPTH_TO_SPACE", [image.number], t.shape(node.output), CHANNELS_LAST,
                  image.scale, "DepthToSpaceOptions", blockSize=side)  # fmt: skip


def _pad(t: Translation, node: Node) -> Tensor:
    x, mode = t.tensor(node.inputs[0]), node.attributes.get("mode", b"constant")
    filled = [t.constant(name).values for name in node.inputs[2:3] if name]
    if len(node.inputs) > 3 or mode not in (b"constant", b"reflect") or any(map(np.any, filled)):
        raise UnwrittenError("Pad with other numbers than 0 or mirrored ones")
    around = t.constant(node.inputs[1]).values.astype(np.int32).reshape(2, -1)
    if (around < 0).any():
        raise UnwrittenError("Pad that cuts")
    inputs = [x.number, t.written(np.ascontiguousarray(around[:, list(x.axes)].T))]
    shape = t.shape(node.output)
    if mode == b"constant":
        return t.emit("PAD", inputs, shape, x.axes, x.scale, "PadOptions")
    return t.emit("MIRROR_PAD", inputs, shape, x.axes, x.scale, "MirrorPadOptions",
                  mode=_REFLECT)  # fmt: skip


def _cumsum(t: Translation, node: Node) -> Tensor:
    x = t.tensor(node.inputs[0])
    axis = int(t.constant(node.inputs[1]).values.item()) % len(x.shape)
    exclusive, reverse = (bool(node.attributes.get(n, 0)) for n in ("exclusive", "reverse"))
    inputs = [x.number, t.written(np.array(x.axes.index(axis), np.int32))]
    return t.emit("CUMSUM", inputs, x.shape, x.axes, None,
                  "CumsumOptions", exclusive=exclusive, reverse=reverse)  # fmt: skip


def _top(t: Translation, node: Node) -> list[Tensor]:
    """Write the largest numbers in their order, and their places, of what is stored last."""
    x = t.tensor(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(x.shape)
    if not node.attributes.get("largest", 1):
        raise UnwrittenError("TopK of the smallest numbers")
    x, shape = t.stored(x, (*(a for a in x.axes if a != axis), axis)), t.shape(node.output)
    stored = tuple(shape[a] for a in x.axes)
    found = [Tensor(t.graph.tensor(stored, kind), shape, x.axes) for kind in ("float32", "int32")]
    inputs = [x.number, t.written(np.array(shape[axis], np.int32))]
    t.graph.add("TOPK_V2", inputs, [tensor.number for tensor in found], "TopKV2Options")
    return found


MORE_WRITERS: Mapping[str, Callable[[Translation, Node], Tensor | list[Tensor]]] = {
    "CumSum": _cumsum,
    "DepthToSpace": _depth_to_space,
    "Elu": _elu,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gelu": _gelu,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "PRelu": _prelu,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Tile": _tile,
    "TopK": _top,
}
