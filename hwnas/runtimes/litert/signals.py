"""Convolutions and pools of signals, which LiteRT computes as images of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwnas.runtimes.litert.translation import Constant, Node, Tensor, Translation

_OF_A_ROW: Mapping[str, Any] = {"kernel_shape": (1,), "strides": (1,), "dilations": (1,)}


def in_two_dimensions(t: Translation, node: Node) -> Node:
    """Give a node whose attributes are those of images; one of images as it is."""
    if len(t.shape(node.output)) != 3:
        return node
    given = dict(node.attributes)
    for name, of_a_row in _OF_A_ROW.items():
        if name in given:
            given[name] = (*of_a_row, *given[name])
    if "pads" in given:
        before, after = given["pads"]
        given["pads"] = (0, before, 0, after)
    return replace(node, attributes=given)


def filters(t: Translation, node: Node) -> Constant:
    """Give the weights of a layer, with a row where they are those of signals."""
    weight = t.constant(node.inputs[1])
    if weight.values.ndim != 3:
        return weight
    return Constant(weight.values[:, :, None], weight.scale)


def wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape of a signal as that of an image; that of an image as it is."""
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else shape


def narrow(t: Translation, image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give an image of one row as a signal, where the shape is that of one."""
    return t.reshaped(image, shape, (0, 2, 1)) if len(shape) == 3 else image
