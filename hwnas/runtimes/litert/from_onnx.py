"""ONNX models in float32 or int8 (QDQ) as LiteRT's flatbuffers."""

from __future__ import annotations

import onnx

from hwnas.runtimes.decomposed import decomposed
from hwnas.runtimes.litert.operators import WRITERS
from hwnas.runtimes.litert.rewriting import of_gelus
from hwnas.runtimes.litert.translation import Translation
from hwnas.runtimes.lowering import folded, is_quantised

_LACKING = ("Celu", "Einsum", "Elu", "Mish", "Pad.edge", "Pad.wrap", "Reciprocal", "Selu")


def to_litert(model: onnx.ModelProto) -> tuple[bytes, dict[str, str]]:
    """Write a model for LiteRT, its batch norms folded.

    Args:
        model: with one input, one output and constant shapes.

    Returns:
        The file's bytes, whose input has its channels last, and what to tell of it: in a quantised
        model the operators that compute in float32 all the same.

    Raises:
        UnwrittenError: it has operators that are not written here.
    """
    plain = model if is_quantised(model) else folded(model)
    translation = Translation(decomposed(plain, _LACKING), WRITERS, of_gelus)
    content = translation.write()
    kept = sorted(translation.float_operators.items())
    return content, {"float32_operators": ", ".join(f"{n} {o}" for o, n in kept)} if kept else {}
