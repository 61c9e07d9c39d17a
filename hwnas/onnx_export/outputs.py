"""ONNX models of networks that return several tensors, which were exported as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import Part

_FLATTENING = ("Flatten", "Reshape", "Unsqueeze")


def with_outputs(model: onnx.ModelProto, parts: Sequence[Part]) -> onnx.ModelProto:
    """Give an output for each part of an answer that `AnsweringAll` joined.

    Outputs have the names of their keys, e.g. ``boxes`` or ``heads.0``, and ``output_0`` where the
    first key is a number, as of a list. A lone tensor is ``output``.

    Args:
        model: ends in flattened tensors that are joined; it is left as it is.
        parts: what is joined, in its order.

    Raises:
        InvalidValueError: it does not end in as many.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    known = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    made = {name: node for node in graph.node for name in node.output}
    whole = graph.output[0].name
    flat = list(made[whole].input) if len(parts) > 1 else [whole]
    if len(flat) != len(parts):
        raise InvalidValueError(
            f"`model` must end in {len(parts)} tensors that are joined, but ends in "
            f"{made[whole].op_type} of {len(flat)}."
        )
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    names = list(_names(parts, taken - {whole}))
    renamed: dict[str, str] = {}
    more: list[onnx.NodeProto] = []
    del graph.output[:], graph.value_info[:]
    for joined, part, name in zip(flat, parts, names, strict=True):
        source = _unflattened(joined, part, made, known)
        if source is None:  # no tensor has this shape any more
            shape = onnx.numpy_helper.from_array(np.array([0, *part.shape]), f"{name}_shape")
            graph.initializer.append(shape)
            more.append(onnx.helper.make_node("Reshape", [joined, shape.name], [name]))
        elif source in made and source not in renamed:
            renamed[source] = name
        else:  # it is given twice, or is the input
            more.append(onnx.helper.make_node("Identity", [source], [name]))
        graph.output.append(_value(name, part, known[joined]))
    renamed.setdefault(whole, _free(whole, {*taken, *names}))
    graph.node.extend(more)
    for node in graph.node[: len(graph.node) - len(more)]:
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    _keep_used(graph)
    return inferred


def _unflattened(
    name: str,
    part: Part,
    made: Mapping[str, onnx.NodeProto],
    known: Mapping[str, onnx.ValueInfoProto],
) -> str | None:
    """Name the tensor of a part's shape that was flattened to another; None if there is none."""
    while name not in known or _sizes(known[name]) != part.shape:
        if name not in made or made[name].op_type not in _FLATTENING:
            return None
        name = made[name].input[0]
    return name


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Give the shape of what is for one input."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])


def _value(name: str, part: Part, joined: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    kind = joined.type.tensor_type
    batch = kind.shape.dim[0]
    first = batch.dim_param or batch.dim_value
    return onnx.helper.make_tensor_value_info(name, kind.elem_type, [first, *part.shape])


def _names(parts: Sequence[Part], taken: set[str]) -> Iterator[str]:
    for part in parts:
        text = part.text or "output"
        name = _free(f"output_{text}" if text[0].isdecimal() else text, taken)
        taken.add(name)
        yield name


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _keep_used(graph: onnx.GraphProto) -> None:
    """Drop nodes and weights that no output needs."""
    used = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)
