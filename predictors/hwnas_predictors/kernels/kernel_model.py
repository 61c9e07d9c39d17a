"""A model that runs kernels one after another, each in the conditions of a network.

Each kernel has weights of its own, which the others push out of the caches before its turn comes
again as far as those of its network did, and images that were written just before. A model that
repeats one kernel would run it from the nearest caches, and sums over such latencies fall short of
whole networks, the more the larger these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas_predictors.kernels.kernel import Attribute, Kernel, Shape

_MOST_KERNELS = 64
_MOST_COPIES = 256
_MOST_FLOPS = 4_000_000_000
_OPSET = 18


def packs(kernels: Iterable[Kernel]) -> list[list[Kernel]]:
    """Split kernels into packs for one model each.

    Kernels of a pack are of networks with equally many weights, and the pack has at most as many,
    at most 64 kernels and not too many FLOPs; one kernel is a pack in any case.
    """
    found: list[list[Kernel]] = []
    open_packs: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        pack = open_packs.get(kernel.model_weights)
        if pack is None or not _fits([*pack, kernel]):
            pack = open_packs[kernel.model_weights] = []
            found.append(pack)
        pack.append(kernel)
    return found


def _fits(pack: Sequence[Kernel]) -> bool:
    seen = [kernel.configuration for kernel in pack]
    return (
        len(pack) <= _MOST_KERNELS
        and sum(c.weights for c in seen) <= max(seen[0].model_weights, 1)
        and sum(c.flops for c in seen) <= _MOST_FLOPS
    )


def repeats(pack: Sequence[Kernel]) -> int:
    """Choose how often a pack is repeated, so that the model has the weights of a network."""
    weights = sum(kernel.configuration.weights for kernel in pack)
    # The number was rounded up to a power of two: three quarters of it is what networks have.
    wanted = round(0.75 * pack[0].model_weights / max(weights, 1))
    return max(1, min(wanted, _MOST_COPIES // len(pack)))


def kernel_model(kernels: Sequence[Kernel], seed: int = 0) -> onnx.ModelProto:
    """Write a model with a node ``kernel<i>`` for each kernel, and some that do next to nothing.

    The model's output is one number that no kernel is needed for, so that no output is copied;
    ONNX Runtime runs unused nodes nonetheless when it does not optimise. The nodes ``empty<i>`` on
    one number stand for what the call and the timing of a node cost.

    Args:
        kernels: the kernels, in the order of execution.
        seed: seed of the weights.
    """
    writer = _Writer(np.random.default_rng(seed))
    for number, kernel in enumerate(kernels):
        writer.add(kernel, number)
        writer.nodes.append(helper.make_node("Relu", ["tick"], [f"e{number}"], f"empty{number}"))
    writer.nodes.append(helper.make_node("Identity", ["tick"], ["tock"]))
    graph = helper.make_graph(
        writer.nodes,
        "kernels",
        [_value("tick", (1,)), *(_value(name, shape) for shape, name in writer.images.items())],
        [_value("tock", (1,))],
        writer.tensors,
    )
    versions = {kernel.domain: kernel.version for kernel in kernels if kernel.domain}
    opsets = [helper.make_opsetid(d, v) for d, v in {"": _OPSET, **versions}.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class _Writer:
    """Collects the nodes, the weights and the images that kernels share."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.images: dict[Shape, str] = {}
        self._rng = rng

    def add(self, kernel: Kernel, number: int) -> None:
        constants = dict(kernel.constants)
        names = []
        for position, shape in enumerate(kernel.inputs):
            name = "" if shape is None else f"k{number}_{position}"
            if position in constants:
                values = np.array(constants[position], dtype=np.int64)
                self.tensors.append(numpy_helper.from_array(values, name))
            elif shape is not None and position in kernel.weights:
                self.tensors.append(numpy_helper.from_array(self._weights(shape), name))
            elif shape is not None:
                image = self.images.setdefault(shape, f"image{len(self.images)}")
                self.nodes.append(helper.make_node("Relu", [image], [name]))
            names.append(name)
        self.nodes.append(_node(kernel, names, number))

    def _weights(self, shape: Shape) -> Any:
        drawn = self._rng.standard_normal(shape, dtype=np.float32)
        return drawn / max(1.0, prod(shape[1:])) ** 0.5


def _value(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _node(kernel: Kernel, inputs: Sequence[str], number: int) -> onnx.NodeProto:
    return helper.make_node(
        kernel.operator,
        list(inputs),
        [f"out{number}_{i}" for i in range(kernel.outputs)],
        f"kernel{number}",
        domain=kernel.domain,
        **{name: listed(value) for name, value in kernel.attributes},
    )


def listed(value: Attribute) -> Any:
    """Give an attribute as ONNX takes it: tuples are lists."""
    return list(value) if isinstance(value, tuple) else value
