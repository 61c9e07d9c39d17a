"""Transposed convolutions and resizes, of images and signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwnas.runtimes.base import Array
from hwnas.runtimes.decomposed import resize_matrices
from hwnas.runtimes.litert.more_operators import cut
from hwnas.runtimes.litert.signals import filters, in_two_dimensions, narrow, wide
from hwnas.runtimes.litert.translation import (
    CHANNELS_LAST,
    Node,
    Tensor,
    Translation,
    UnwrittenError,
)

_VALID = 1
_NEAREST: Mapping[bytes, Callable[[Array], Array]] = {
    b"floor": np.floor,
    b"ceil": np.ceil,
    b"round_prefer_floor": lambda at: np.ceil(at - 0.5),
    b"round_prefer_ceil": lambda at: np.floor(at + 0.5),
}


def transposed_conv(t: Translation, node: Node) -> Tensor:
    """Write it with groups and holes, which LiteRT's has not, and add the bias."""
    image, shape, node = t.image(node.inputs[0]), t.shape(node.output), in_two_dimensions(t, node)
    weight, a = filters(t, node).floats, node.attributes
    strides, pads = [int(s) for s in a.get("strides", (1, 1))], [*a.get("pads", (0, 0, 0, 0))]
    # What the output has more at its ends is not cut there.
    more = [0, *a.get("output_padding", (0, 0))][-2:]
    pads[2:] = [p - m for p, m in zip(pads[2:], more, strict=True)]
    strange = a.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in a or min(pads) < 0
    if weight.ndim != 4 or strange:
        raise UnwrittenError("ConvTranspose of three dimensions, or whose output is padded wide")
    weight = _with_holes(weight, [int(d) for d in a.get("dilations", (1, 1))])
    groups, kernel = int(a.get("group", 1)), weight.shape[2:]
    around = [k - 1 - p for k, p in zip(kernel, pads[:2], strict=True)]
    around += [k - s - p for k, s, p in zip(kernel, strides, pads[2:], strict=True)]
    if groups == image.shape[1] > 1 and min(around) >= 0:
        found = _of_each_channel(t, image, weight, strides, around)
    else:
        found = _of_groups(t, image, weight, groups, strides, pads)
    if len(node.inputs) > 2 and node.inputs[2]:
        inputs = [found.number, t.written(t.constant(node.inputs[2]).floats.reshape(-1))]
        found = t.emit("ADD", inputs, found.shape, CHANNELS_LAST, None, "AddOptions")
    return narrow(t, found, shape)


def _of_groups(
    t: Translation,
    image: Tensor,
    weight: Array,
    groups: int,
    strides: Sequence[int],
    pads: Sequence[int],
) -> Tensor:
    """Write one for each group, without padding, and cut what the padding takes away."""
    (batch, channels, *inner), (_, outputs, *kernel) = image.shape, weight.shape
    sides = [(n - 1) * s + k for n, s, k in zip(inner, strides, kernel, strict=True)]
    shape, parts = (batch, outputs, *sides), []
    stored = t.written(np.array([shape[a] for a in CHANNELS_LAST], np.int32))
    for first in range(0, channels, channels // groups):
        group = range(first, first + channels // groups)
        part = cut(t, image, [range(batch), group, *map(range, inner)]) if groups > 1 else image
        own = t.written(np.ascontiguousarray(weight[group].transpose(1, 2, 3, 0)))
        parts.append(t.emit(
            "TRANSPOSE_CONV", [stored, own, part.number], shape, CHANNELS_LAST, None,
            "TransposeConvOptions", "float32", padding=_VALID, strideH=strides[0],
            strideW=strides[1],
        ))  # fmt: skip
    found = _joined(t, parts)
    if not any(pads):
        return found
    inside = [range(pads[i], n - pads[i + 2]) for i, n in enumerate(sides)]
    return cut(t, found, [range(batch), range(found.shape[1]), *inside])


def _of_each_channel(
    t: Translation,
    image: Tensor,
    weight: Array,
    strides: Sequence[int],
    around: Sequence[int],
) -> Tensor:
    """Write a convolution with mirrored filters, of each channel alone, over an image with gaps."""
    batch, channels, height, width = image.shape
    tall, wide = height * strides[0], width * strides[1]
    wider = _with_gaps(t, image, (batch * height, width, 1, channels), strides[1])
    shape = batch, height, 1, wide * channels
    taller = _with_gaps(t, t.reshaped(wider, shape, (0, 1, 2, 3)), shape, strides[0])
    spread = t.reshaped(taller, (batch, channels, tall, wide), CHANNELS_LAST)
    sizes = (tall + around[0] + around[2], wide + around[1] + around[3])
    ends = np.array([[0, 0], around[::2], around[1::2], [0, 0]], np.int32)
    inputs, padded = [spread.number, t.written(ends)], (batch, channels, *sizes)
    spread = t.emit("PAD", inputs, padded, CHANNELS_LAST, None, "PadOptions")
    _, times, *kernel = weight.shape
    mirrored = weight[:, :, ::-1, ::-1].reshape(1, channels * times, *kernel)
    own = t.written(np.ascontiguousarray(mirrored.transpose(CHANNELS_LAST)))
    nothing = t.written(np.zeros(channels * times, np.float32))
    sides = [n - k + 1 for n, k in zip(sizes, kernel, strict=True)]
    return t.emit(
        "DEPTHWISE_CONV_2D", [spread.number, own, nothing], (batch, channels * times, *sides),
        CHANNELS_LAST, None, "DepthwiseConv2DOptions", padding=_VALID, strideH=1, strideW=1,
        depthMultiplier=times,
    )  # fmt: skip


def _with_gaps(t: Translation, x: Tensor, stored: tuple[int, ...], step: int) -> Tensor:
    """Put zeros behind each slice of the second of four stored dimensions."""
    axes = (0, 1, 2, 3)
    x, ends = (
        t.reshaped(x, stored, axes),
        np.array([[0, 0], [0, 0], [0, step - 1], [0, 0]], np.int32),
    )
    shape = (*stored[:2], step, stored[3])
    return t.emit("PAD", [x.number, t.written(ends)], shape, axes, None, "PadOptions")


def _with_holes(weight: Array, steps: list[int]) -> Array:
    """Spread the sides of `(I, O, H, W)`."""
    sides = [(n - 1) * s + 1 for n, s in zip(weight.shape[2:], steps, strict=True)]
    spread = np.zeros((*weight.shape[:2], *sides), weight.dtype)
    spread[:, :, :: steps[0], :: steps[1]] = weight
    return spread


def _joined(t: Translation, parts: list[Tensor]) -> Tensor:
    """Join channels."""
    if len(parts) == 1:
        return parts[0]
    batch, channels, *sides = parts[0].shape
    shape, inputs = (batch, channels * len(parts), *sides), [p.number for p in parts]
    return t.emit(
        "CONCATENATION", inputs, shape, CHANNELS_LAST, None, "ConcatenationOptions", axis=3
    )


def resize(t: Translation, node: Node) -> Tensor:
    """Write LiteRT's operator where it is the same, else a choice of nearest rows and columns."""
    image, a = t.image(node.inputs[0]), node.attributes
    if t.opset < 11 or a.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise UnwrittenError("Resize before operator set 11, or that keeps the aspect ratio")
    shape = wide(t.shape(node.output))
    if shape[:2] != image.shape[:2]:
        raise UnwrittenError("Resize of channels or of the batch")
    scales = _scales(t, node, image.shape, shape)
    way = a.get("coordinate_transformation_mode", b"half_pixel")
    if a.get("mode", b"nearest") == b"nearest":
        found = _nearest(t, image, shape, scales, way, a.get("nearest_mode", b"round_prefer_floor"))
    else:
        found = _linear(t, node, image, shape, scales, way)
    return found if found.shape == t.shape(node.output) else narrow(t, found, t.shape(node.output))


def _scales(
    t: Translation, node: Node, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[float, float]:
    """Give the scales of height and width; those that sizes make where none are given."""
    given = t.constant(node.inputs[2]).floats if len(node.inputs) > 2 and node.inputs[2] else ()
    if not len(given):
        return after[2] / before[2], after[3] / before[3]
    rank = len(t.shape(node.output))
    which = (int(a) % rank - rank for a in node.attributes.get("axes", range(rank)))
    told = dict(zip(which, map(float, given), strict=True))
    return told.get(-2, 1.0), told.get(-1, 1.0)


def _nearest(
    t: Translation,
    image: Tensor,
    shape: tuple[int, ...],
    scales: tuple[float, float],
    way: bytes,
    rounding: bytes,
) -> Tensor:
    if way not in (b"asymmetric", b"half_pixel", b"align_corners") or rounding not in _NEAREST:
        raise UnwrittenError(f"Resize by {way.decode()} and {rounding.decode()}")
    sides = [*zip(image.shape[2:], shape[2:], scales, strict=True)]
    places = [_places(n, m, scale, way, _NEAREST[rounding]) for n, m, scale in sides]
    plain = [_plain_places(n, m) for n, m, _ in sides]
    if all(map(np.array_equal, places, plain)):
        inputs = [image.number, t.written(np.array(shape[2:], np.int32))]
        return t.emit("RESIZE_NEAREST_NEIGHBOR", inputs, shape, CHANNELS_LAST, image.scale,
                      "ResizeNearestNeighborOptions")  # fmt: skip
    for i, chosen in enumerate(places):
        if chosen.tolist() != list(range(image.shape[2 + i])):
            now = (*image.shape[: 2 + i], len(chosen), *image.shape[3 + i :])
            inputs = [image.number, t.written(chosen)]
            image = t.emit("GATHER", inputs, now, CHANNELS_LAST, image.scale,
                           "GatherOptions", axis=1 + i)  # fmt: skip
    return image


def _places(
    before: int, after: int, scale: float, way: bytes, rounding: Callable[[Array], Array]
) -> Array:
    """Give the place `(after,)` in the input of each row or column of the output."""
    at: Array = np.arange(after, dtype=np.float32)
    if way == b"align_corners":
        at = at * np.float32(before - 1) / np.float32(max(after - 1, 1))
    else:
        shift = np.float32(0.5 if way == b"half_pixel" else 0)
        at = (at + shift) / np.float32(scale) - shift
    return np.clip(rounding(at), 0, before - 1).astype(np.int32)


def _plain_places(before: int, after: int) -> Array:
    """Give what LiteRT's operator takes, which multiplies by a rounded factor."""
    at: Array = np.arange(after, dtype=np.float32) * (np.float32(before) / np.float32(after))
    return np.clip(np.floor(at), 0, before - 1).astype(np.int32)


def _linear(
    t: Translation,
    node: Node,
    image: Tensor,
    shape: tuple[int, ...],
    scales: tuple[float, float],
    way: bytes,
) -> Tensor:
    """Write LiteRT's operator where it is the same, else products with matrices."""
    a, corners = node.attributes, way == b"align_corners"
    half = way in (b"half_pixel", b"pytorch_half_pixel") and 1 not in t.shape(node.output)[2:]
    sides = zip(image.shape[2:], shape[2:], scales, strict=True)
    uneven = half and any(abs(n * scale - m) > 1e-4 for n, m, scale in sides)
    if a["mode"] != b"linear" or not (corners or half) or a.get("antialias") or uneven:
        return _by_matrices(t, node)
    inputs = [image.number, t.written(np.array(shape[2:], np.int32))]
    return t.emit("RESIZE_BILINEAR", inputs, shape, CHANNELS_LAST, image.scale,
                  "ResizeBilinearOptions", alignCorners=corners, halfPixelCenters=half)  # fmt: skip


def _by_matrices(t: Translation, node: Node) -> Tensor:
    """Multiply by what it is along each dimension, in float32."""
    x = t.with_scale(t.tensor(node.inputs[0]), None)
    constants = {name: t.constant(name).values for name in node.inputs[2:4] if name}
    found = resize_matrices(node.inputs, node.attributes, constants, x.shape, t.opset)
    if found is None:
        raise UnwrittenError("Resize of a part")
    for axis, matrix in found:
        x = t.stored(x, (*(a for a in x.axes if a != axis), axis))
        shape = (*x.shape[:axis], matrix.shape[1], *x.shape[axis + 1 :])
        inputs = [x.number, t.written(np.ascontiguousarray(matrix.T)), -1]
        x = t.emit("FULLY_CONNECTED", inputs, shape, x.axes, None,
                   "FullyConnectedOptions", keepNumDims=True)  # fmt: skip
    return x
