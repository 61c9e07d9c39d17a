#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU, float32: two kinds of ONNX's DFT are read otherwise than the standard says.
# (1) Of a real input, whose last dimension is 1, the one-sided transform keeps that dimension and appends
# another: the shape is (1, 4, 5, 1, 2) where the standard says (1, 4, 5, 2). The full transform of a real input
# has the right shape. (2) From operator set 20 on the axis is an input, and it is not read: what comes is the
# transform along axis 1, whose place the attribute had before, without a word where the shapes agree. At axis 1
# and in operator set 17 the values are right. ONNX Runtime 1.32.0 gives NumPy's values for all of them.
# Expected: the standard's shape, and the axis that is given; or a refusal.
#
# The script fails if OpenVINO computes one of the wrong kinds right, or one of the right ones wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper, numpy_helper

# Operator set, axis, whether one-sided, parts of a number (1 real, 2 complex).
CASES = {
    "one-sided, real": (17, 2, 1, 1),
    "axis 2 as an input": (20, 2, 0, 2),
    "full, real": (17, 2, 0, 1),
    "axis 2 as an attribute": (17, 2, 0, 2),
    "axis 1 as an input": (20, 1, 0, 2),
}
WRONG = ("one-sided, real", "axis 2 as an input")


def model(operators, axis, onesided, parts):
    """DFT of (1, 4, 8, parts)."""
    size = [1, 4, 8, 2]
    if onesided:
        size[axis] = size[axis] // 2 + 1
    if operators < 20:
        node, tensors = helper.make_node("DFT", ["x"], ["y"], axis=axis, onesided=onesided), []
    else:
        node = helper.make_node("DFT", ["x", "", "axis"], ["y"], onesided=onesided)
        tensors = [numpy_helper.from_array(np.array(axis, np.int64), "axis")]
    graph = helper.make_graph(
        [node], "dft",
        [helper.make_tensor_value_info("x", 1, (1, 4, 8, parts))],
        [helper.make_tensor_value_info("y", 1, size)],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", operators)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def expected(x, axis, onesided):
    numbers = x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]
    found = (np.fft.rfft if onesided else np.fft.fft)(numbers, axis=axis)
    return np.stack([found.real, found.imag], -1)


def right(found, wanted):
    return found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-4


print(f"Python {sys.version.split()[0]}, openvino {openvino.__version__}, onnx {onnx.__version__}, "
      f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}")
as_known = True
for name, (operators, axis, onesided, parts) in CASES.items():
    content = model(operators, axis, onesided, parts)
    x = np.random.default_rng(0).normal(size=(1, 4, 8, parts)).astype(np.float32)
    wanted = expected(x, axis, onesided)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (runtime,) = session.run(None, {"x": x})
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled(x)[0]
    along_1 = right(found, expected(x, 1, onesided))
    print(f"{name:23} standard {wanted.shape}, ONNX Runtime {right(runtime, wanted)}, OpenVINO "
          f"{found.shape} {right(found, wanted)}; along axis 1: {along_1}")
    as_known &= right(runtime, wanted) and right(found, wanted) == (name not in WRONG)
    as_known &= name != "axis 2 as an input" or along_1
sys.exit(0 if as_known else "The behaviour has changed.")
PYTHON
