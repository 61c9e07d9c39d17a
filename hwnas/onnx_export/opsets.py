"""ONNX models in the words of another version of its operators."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from hwnas.errors import InvalidValueError

OLDEST = 13
"""Below it softmax is over several axes, and ONNX's converter does not know: it would be another
function (`findings/onnx_version_converter_softmax_and_resize.sh`)."""
_CONVERTED = 15
"""ONNX converts batch norms down to this version; what changed from `OLDEST` to it are types that
no network of float32 has, which the check of the model sees."""


def with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Give a model with the same computation in another operator set.

    Args:
        model: the model; returned as it is where it has this operator set.
        opset: the version that is wanted.

    Raises:
        InvalidValueError: the version is not known here, or an operator has no such form in it.
    """
    if opset in [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]:
        return model
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise InvalidValueError(f"`opset` must be in {OLDEST} to {newest}, but got {opset}.")
    try:
        found = version_converter.convert_version(model, max(opset, _CONVERTED))
        for entry in found.opset_import:
            entry.version = opset if entry.domain in ("", "ai.onnx") else entry.version
        oldest_file = helper.find_min_ir_version_for(list(found.opset_import))
        found.ir_version = max(found.ir_version, oldest_file)
        onnx.checker.check_model(found, full_check=True)
    except Exception as error:  # whatever ONNX raises, in C++ too
        reason = " ".join(str(error).split("failed: ")[-1].split())[:120]
        raise InvalidValueError(
            f"`opset` must be one that has the operators of the network, but {opset} has not: "
            f"{reason}"
        ) from error
    return found
