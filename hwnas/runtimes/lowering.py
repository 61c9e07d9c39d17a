"""ONNX models in float32, written again in a lower precision: float16, or int8 with scales.

int8 is static: each tensor is quantised and dequantised (QDQ) by a scale from the smallest and
largest value that it has on the calibration images, weights by one scale a channel, which is what
ONNX Runtime's own tool does (MinMax). What stays in float32 is chosen by operator, and where that
tool would compute something else (`hwnas.runtimes.quantisable`). Activations are in the integers
that the runtime computes in (`Activations`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import Activations, Array, RunSettings, Several, TorchNetwork
from hwnas.runtimes.decomposed import decomposed
from hwnas.runtimes.examples import compared, described
from hwnas.runtimes.openvino_int8 import sums_in_four_dimensions, unsigned_behind_concat
from hwnas.runtimes.quantisable import float_nodes, prepared

FLOAT_OPERATORS: Several = Several(
    (
        "none", "Add", "AveragePool", "Concat", "Conv", "Gemm", "GlobalAveragePool", "HardSigmoid",
        "HardSwish", "MatMul", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid", "Softmax",
    )
)  # fmt: skip
"""ONNX operators that can be left in float32, joined by ``+``."""
STAYS = "float32"
"""Text of a node that is to stay in it."""


def exported(
    network: TorchNetwork,
    settings: RunSettings,
    written: Sequence[str] = ("float16", "int8"),
    activations: Activations = "signed",
    full_pairs: bool = False,
    without: Collection[str] = (),
) -> tuple[bytes, str, list[list[Array]], dict[str, str]]:
    """Export a network in the precision of `explicit` settings.

    Args:
        network: the network.
        settings: batch, precision, images and ``float_operators``.
        written: precisions that are written into the model; the runtime makes the others itself.
        activations: how int8 stores them.
        full_pairs: as in `to_int8`.
        without: operators that are written as others, see `hwnas.runtimes.decomposed`.

    Returns:
        The model, its precision, inputs to compare it with float32 on (none for float32 itself),
        and what to tell of it.

    Raises:
        InvalidValueError: the network cannot be exported in it.
        HwnasError: there are no such images.
    """
    precision, options = str(settings.precision), dict(settings.options)
    if "float_operators" in options and precision != "int8":
        raise InvalidValueError(
            f"`float_operators` must be given with precision=int8, but got {precision}: leave it "
            f"out."
        )
    model = export_onnx(network.module, network.input, batch=settings.batch or 1)
    model = decomposed(model, without)
    examples, facts = compared(network, settings)
    if precision == "float16" in written:
        model = to_float16(model)
    elif precision == "int8" in written:
        feeds = [{"input": batch} for (batch,) in examples]
        kept = options.get("float_operators", "none")
        model = to_int8(model, feeds, kept, activations, full_pairs)
        facts = {"calibrated_with": described(settings)}
    return model.SerializeToString(), precision, examples, facts


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with weights and operators in float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    twin = onnx.ModelProto.FromString(model.SerializeToString())
    lowered: onnx.ModelProto = convert_float_to_float16(twin, keep_io_types=True)
    return lowered


def to_int8(
    model: onnx.ModelProto,
    feeds: Sequence[dict[str, Array]],
    float_operators: str = "none",
    activations: Activations = "signed",
    full_pairs: bool = False,
    part: bool = False,
    per_channel: bool = True,
) -> onnx.ModelProto:
    """Give the model in int8, its batch norms folded into convolutions before.

    Args:
        model: in float32.
        feeds: calibration inputs by name.
        float_operators: names of operators that stay in float32, joined by ``+``.
        activations: how they are stored.
        full_pairs: whether weights are quantised and dequantised in the graph, and biases stay in
            float32, as TensorRT reads them; else they are stored in int8 and int32.
        part: whether it is a part of a network, see `OnnxModel`.
        per_channel: whether weights have a scale a channel; one for all of them is less accurate,
            and written in half of the time.

    Raises:
        InvalidValueError: ONNX Runtime cannot quantise it; its reason is given. Or nothing of it
            is quantised, and it is no part.
    """
    from onnxruntime.quantization import QuantType, quantize_static

    kept = set(float_operators.split("+"))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        try:
            plain = prepared(folded(model))
            chosen = [n.name for n in plain.graph.node if n.op_type in kept]
            quantize_static(
                plain,
                f"{folder}/int8.onnx",
                _Reader(feeds),
                per_channel=per_channel,
                activation_type=QuantType.QUInt8 if activations == "unsigned" else QuantType.QInt8,
                extra_options={
                    "ActivationSymmetric": activations == "symmetric",
                    "AddQDQPairToWeight": full_pairs,
                    "QuantizeBias": not full_pairs,
                    "ForceQuantizeNoInputCheck": part,
                },
                nodes_to_exclude=[*chosen, *float_nodes(plain)],
            )
        except Exception as error:
            # ONNX Runtime's errors have no common class other than Exception.
            raise InvalidValueError(
                f"`precision` int8 must be possible for the network, but ONNX Runtime says: "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}"
            ) from error
        made = onnx.load(f"{folder}/int8.onnx")
    if not part and not is_quantised(made):
        raise InvalidValueError(
            "`precision` int8 must be one that some of the network computes in, but no operator of "
            "it can be quantised, or all are to stay in float32: take float32."
        )
    for node in made.graph.node:
        if node.name in chosen:  # what is around it may be the same as of one in int8
            node.doc_string = STAYS
    if activations == "symmetric" and not full_pairs:
        unsigned_behind_concat(made)
        sums_in_four_dimensions(made)
    return made


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold batch norms and constants, as every runtime does before it quantises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/folded.onnx"
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return onnx.load(options.optimized_model_filepath)


def staying(content: bytes | str) -> frozenset[str]:
    """Name the nodes of a model in int8 that are to stay in float32."""
    model = onnx.load_from_string(content) if isinstance(content, bytes) else onnx.load(content)
    return frozenset(node.name for node in model.graph.node if node.doc_string == STAYS)


def between_int8(content: bytes | str) -> dict[str, str]:
    """Give the operators by node that are to stay in float32, but stand there as those in int8.

    The quantiser writes what it leaves out between others in int8 as it writes those: what it reads
    is dequantised, and what it writes is quantised (findings/onnxruntime_int8_excluded_nodes.sh).
    """
    model = onnx.load_from_string(content) if isinstance(content, bytes) else onnx.load(content)
    read: dict[str, set[str]] = {value.name: {""} for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            read.setdefault(name, set()).add(node.op_type)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        node.name: node.op_type
        for node in model.graph.node
        if node.doc_string == STAYS
        and all(made.get(n) == "DequantizeLinear" for n in node.input if n and n not in constants)
        and all(read.get(n) == {"QuantizeLinear"} for n in node.output if n)
    }


def is_quantised(model: onnx.ModelProto) -> bool:
    """Tell whether a model holds quantised tensors (QDQ)."""
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


class _Reader:
    """Calibration inputs, one after another, as ONNX Runtime asks for them."""

    def __init__(self, feeds: Sequence[dict[str, Array]]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> Any:
        return next(self._left, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice to run a preparation that was run away from the user.

    So are numpy's warnings: a mask of -inf gets a scale, which is not used, too.
    """
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        log.setLevel(level)
