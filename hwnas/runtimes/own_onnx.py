"""A user's own ONNX model: its inputs, its outputs in float32, and the same model in int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.inliner

from hwnas.data.real_images import real_images
from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Activations, Array, OnnxModel, RunSettings
from hwnas.runtimes.examples import EXAMPLES, described
from hwnas.runtimes.input_shapes import batch_of, input_shapes
from hwnas.runtimes.lowering import to_int8
from hwnas.runtimes.onnx_facts import precision_of, undeclared_inputs
from hwnas.runtimes.onnxruntime_session import (
    Feeds,
    load_model_bytes,
    open_session,
    random_feeds,
)
from hwnas.runtimes.quantisable import renamed
from hwnas.tasks.task import TensorSpec


class OwnModel(NamedTuple):
    """An ONNX model with what it should give.

    Attributes:
        content: its bytes, or its file.
        inputs: what it runs on, in the model's order.
        examples: what it was calibrated with, or is compared on beside.
        expected: what the model in float32 gives on `inputs` and on each of `examples`.
        facts: what to tell of it.
    """

    content: bytes | str
    inputs: list[Array]
    examples: list[list[Array]]
    expected: list[list[Array]]
    facts: dict[str, str]


def in_float32(network: OnnxModel, settings: RunSettings, lower: bool = False) -> OwnModel:
    """Give a model in float32 with its own outputs, which ONNX Runtime computes.

    Args:
        network: the model.
        settings: batch, seed and images, as for `in_int8`.
        lower: whether a runtime will compute it in a lower precision: it is compared on examples
            too then.

    Raises:
        InvalidValueError: the model is not in float32, or ONNX Runtime cannot run it.
        HwnasError: there are no such images.
    """
    content, session = _open(network, str(settings.precision))
    own, examples = _inputs(session, content, network, settings)
    shown = examples if lower else []
    images = replace(settings, batch=_batch(session, network, settings))
    return OwnModel(
        content,
        list(own.values()),
        [list(feeds.values()) for feeds in shown],
        [list(session.run(None, feeds)) for feeds in (own, *shown)],
        {"compared_on": described(images)} if lower else {},
    )


def own_outputs(content: bytes | str, feeds: Feeds) -> tuple[list[list[Array]], str]:
    """Give what ONNX Runtime computes, in a list of one, or nothing and why it says nothing.

    Args:
        content: bytes of an ONNX model in any precision, or its file.
        feeds: inputs by name.
    """
    try:
        session = open_session(content)
        first, second = (list(session.run(None, feeds)) for _ in range(2))
    except Exception:
        # ONNX Runtime's errors have no common class; the model may hold what it does not know.
        return [], "ONNX Runtime cannot run the model"
    if not all(np.issubdtype(getattr(a, "dtype", np.object_), np.floating) for a in first):
        return [], "an output is of other things than floating-point numbers"
    if not all(map(partial(np.array_equal, equal_nan=True), first, second)):
        return [], "the outputs are random"
    return [first], ""


def own_images(network: OnnxModel, settings: RunSettings, precision: str) -> list[Array]:
    """Give what a model that is measured as it is runs on: the user's images; else nothing.

    Raises:
        InvalidValueError: it is in another precision than float32, or the images do not fit it.
        HwnasError: there are no such images.
    """
    if settings.images == "gaussian":
        return []
    if precision != "float32":
        raise InvalidValueError(
            f"`images` must be left out for an ONNX model that is in {precision}, which runs on "
            f"random inputs, but got {settings.images!r}."
        )
    content, session = _open(network, precision)
    return list(_inputs(session, content, network, settings)[0].values())


def in_int8(
    network: OnnxModel, settings: RunSettings, activations: Activations = "signed"
) -> OwnModel:
    """Quantise a model in float32 as a torch network is, see `hwnas.runtimes.lowering`.

    Args:
        network: the model.
        settings: batch, seed, images and ``float_operators``; images are those of the first input,
            and other inputs stay as they were drawn.
        activations: how they are stored.

    Raises:
        InvalidValueError: the model is not in float32, cannot run or cannot be quantised.
        HwnasError: there are no such images.
    """
    content, session = _open(network, "int8")
    own, examples = _inputs(session, content, network, settings)
    expected = [list(session.run(None, feeds)) for feeds in (own, *examples)]
    model = onnx.load_from_string(content) if isinstance(content, bytes) else onnx.load(content)
    kept = dict(settings.options).get("float_operators", "none")
    return OwnModel(
        to_int8(model, examples, kept, activations, part=network.part).SerializeToString(),
        list(own.values()),
        [list(feeds.values()) for feeds in examples],
        expected,
        {"calibrated_with": described(replace(settings, batch=_batch(session, network, settings)))},
    )


def _open(network: OnnxModel, precision: str) -> tuple[bytes | str, Any]:
    content = without_functions(load_model_bytes(network.content))
    if (found := precision_of(content)) != "float32":
        raise InvalidValueError(
            f"`precision` {precision} must be made of a model in float32, but this one is in "
            f"{found}: leave --precision out to measure it as it is."
        )
    return content, open_session(content)


def without_functions(content: bytes | str) -> bytes | str:
    """Give a model with the functions that it declares written out, which OpenVINO and MNN refuse.

    ONNX Runtime and ncnn's converter read them.
    """
    try:
        if isinstance(content, str):
            model = onnx.load(content, load_external_data=False)
            model = onnx.load(content) if model.functions else model
        else:
            model = onnx.load_from_string(content)
    except Exception:  # Protobuf has an error of its own, which has no types.
        return content  # what loads it says what is wrong
    if not model.functions:
        return content
    return bytes(onnx.inliner.inline_local_functions(model).SerializeToString())


def _batch(session: Any, network: OnnxModel, settings: RunSettings) -> int:
    return settings.batch or batch_of(session.get_inputs(), dict(network.shapes)) or 1


def _inputs(
    session: Any, content: bytes | str, network: OnnxModel, settings: RunSettings
) -> tuple[Feeds, Sequence[Feeds]]:
    """Give what the model runs on, and what it is calibrated with."""
    batch, shapes = _batch(session, network, settings), dict(network.shapes)
    undeclared = undeclared_inputs(content)

    def drawn(seed: int) -> Feeds:
        return random_feeds(session, batch, network.in_shape, seed, shapes, undeclared)

    own, number = drawn(settings.seed), max(1, -(-EXAMPLES // batch))
    first = next(iter(own))
    shape = own[first].shape
    real = None
    if settings.images != "gaussian":
        if shape[:1] != (batch,) or own[first].dtype != np.float32:
            raise InvalidValueError(
                f"`images` must go into a first input of {batch} images in float32, but {first!r} "
                f"is {own[first].dtype} of shape {shape}: leave them out."
            )
        spec = TensorSpec.of(shape[1:])
        real = real_images(settings.images, batch * number, spec)
    if real is None:
        return own, [drawn(settings.seed + 1 + i) for i in range(number)]
    real.check(spec)
    images = real.inputs.numpy()
    parts = [{**own, first: images[i * batch : (i + 1) * batch]} for i in range(number)]
    return parts[0], parts


def of_one_input(file: Path, batch: int, in_shape: Sequence[int] | None = None) -> onnx.ModelProto:
    """Give a model of one input with a constant shape, and its data within.

    Args:
        file: an ONNX file in float32, which may have data files beside it.
        batch: size of the batch, where it is open.
        in_shape: sizes beside the batch, where they are open.

    Raises:
        InvalidValueError: it is no such model, or fixes another shape.
    """
    content = load_model_bytes(file)
    session = open_session(content)
    given, given_out = session.get_inputs(), session.get_outputs()
    kinds, ends = ([value.type for value in values] for values in (given, given_out))
    fits = kinds in (["tensor(float)"], ["tensor(int64)"]) and set(ends) == {"tensor(float)"}
    if not fits or precision_of(content) != "float32":
        raise InvalidValueError(
            f"`onnx` must be of one input, and in float32 or from int64, to be measured elsewhere, "
            f"but {str(file)!r} has the inputs {_said(given)} and the outputs {_said(given_out)}, "
            f"and weights in {precision_of(content)}. `hwnas profile --onnx` measures it here."
        )
    try:
        (shape,) = input_shapes(given, batch, in_shape, {}, undeclared_inputs(content))
    except InvalidValueError:
        raise InvalidValueError(
            f"`batch` and `input` must complete the shape {given[0].shape} of the input of "
            f"{str(file)!r}, but got {batch} and {in_shape}: pass --batch and --input."
        ) from None
    return with_shape(onnx.load(file), shape)


def _said(values: Sequence[Any]) -> str:
    return ", ".join(f"{value.name} {value.type}" for value in values) or "none"


def with_shape(model: onnx.ModelProto, shape: Sequence[int]) -> onnx.ModelProto:
    """Give a model of one input and one output with a constant shape, ``input`` to ``output``.

    Shapes that were declared beside are left out: they may be for another batch.
    """
    found: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    graph = found.graph
    (source,) = _inputs_of(graph)
    names = {source.name: "input", graph.output[0].name: "output"}
    # A tensor within that has one of these names makes room.
    names = {"input": "own_input", "output": "own_output", **names}
    renamed(graph, names)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    kind = source.type.tensor_type.elem_type
    del graph.value_info[:], graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info("input", kind, list(shape)))
    graph.output[0].CopyFrom(onnx.helper.make_empty_tensor_value_info("output"))
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return onnx.shape_inference.infer_shapes(found, data_prop=True)


def _inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs that are no weights: old models name these among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]
