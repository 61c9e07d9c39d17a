"""Networks as they are executed in a precision: in int8 what is in float32 is quantised first."""

from __future__ import annotations

from functools import lru_cache

import onnx

from hwnas.runtimes.base import Activations
from hwnas.runtimes.lowering import to_int8
from hwnas.runtimes.onnx_facts import precision_of
from hwnas.runtimes.onnxruntime_session import load_model_bytes, open_session, random_feeds
from hwnas_predictors.kernels.fused_graph import original_shapes


def lowered(
    model: onnx.ModelProto | bytes,
    precision: str,
    activations: Activations,
    per_channel: bool = True,
) -> bytes:
    """Give a model as it is executed.

    Args:
        model: the network, with fixed shapes.
        precision: what it is executed in.
        activations: how int8 stores them.
        per_channel: whether int8 has a scale a channel of weights, as networks that are measured;
            without, the same operators are executed, and it is written in half of the time.

    Raises:
        InvalidValueError: ONNX Runtime cannot load or not quantise it, or a shape is not fixed.
    """
    content = load_model_bytes(model)
    assert isinstance(content, bytes)
    needed = precision == "int8" != precision_of(content)
    return _quantised(content, activations, per_channel) if needed else content


@lru_cache(maxsize=1)  # a network is timed as a whole, and then its kernels
def _quantised(content: bytes, activations: Activations, per_channel: bool) -> bytes:
    """Quantise by one random input: what is executed does not depend on the scales."""
    model = onnx.load_from_string(content)
    original_shapes(model)
    feeds = random_feeds(open_session(content), 1)
    made = to_int8(model, [feeds], activations=activations, per_channel=per_channel)
    return bytes(made.SerializeToString())
