"""A user's own ONNX model in int8: calibrated on inputs, and compared with itself in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import onnx

from hwnas.data.real_images import real_images
from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array, OnnxModel, RunSettings
from hwnas.runtimes.examples import EXAMPLES, described
from hwnas.runtimes.input_shapes import batch_of
from hwnas.runtimes.lowering import to_int8
from hwnas.runtimes.onnx_facts import precision_of, undeclared_inputs
from hwnas.runtimes.onnxruntime_session import (
    Feeds,
    load_model_bytes,
    open_session,
    random_feeds,
)
from hwnas.tasks.task import TensorSpec


class InInt8(NamedTuple):
    """An ONNX model in int8.

    Attributes:
        content: its bytes.
        inputs: what it runs on, in the model's order.
        examples: what it was calibrated with.
        expected: what the model in float32 gives on `inputs` and on each of `examples`.
        facts: what to tell of it.
    """

    content: bytes
    inputs: list[Array]
    examples: list[list[Array]]
    expected: list[list[Array]]
    facts: dict[str, str]


def in_int8(network: OnnxModel, settings: RunSettings, symmetric: bool = False) -> InInt8:
    """Quantise a model in float32 as a torch network is, see `hwnas.runtimes.lowering`.

    Args:
        network: the model.
        settings: batch, seed, images and ``float_operators``; images are those of the first input,
            and other inputs stay as they were drawn.
        symmetric: whether activations have no zero points.

    Raises:
        InvalidValueError: the model is not in float32, cannot run or cannot be quantised.
        HwnasError: there are no such images.
    """
    content = load_model_bytes(network.content)
    if (found := precision_of(content)) != "float32":
        raise InvalidValueError(
            f"`precision` int8 must be made of a model in float32, but this one is in {found}: "
            f"leave --precision out to measure it as it is."
        )
    session = open_session(content)
    own, examples = _inputs(session, content, network, settings)
    expected = [list(session.run(None, feeds)) for feeds in (own, *examples)]
    model = onnx.load_from_string(content) if isinstance(content, bytes) else onnx.load(content)
    kept = dict(settings.options).get("float_operators", "none")
    return InInt8(
        to_int8(model, examples, kept, symmetric).SerializeToString(),
        list(own.values()),
        [list(feeds.values()) for feeds in examples],
        expected,
        {"calibrated_with": described(replace(settings, batch=_batch(session, network, settings)))},
    )


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
        spec = TensorSpec(shape[1:])
        real = real_images(settings.images, batch * number, spec)
    if real is None:
        return own, [drawn(settings.seed + 1 + i) for i in range(number)]
    real.check(spec)
    images = real.inputs.numpy()
    parts = [{**own, first: images[i * batch : (i + 1) * batch]} for i in range(number)]
    return parts[0], parts
