#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static`: a Relu or Clip behind a quantised tensor is dropped, since the range of the
# quantised numbers ends where it cuts. The tool asks for the option `ActivationSymmetric` alone before it does so.
# Other settings make ranges that do not end there, and outputs are negative behind a Relu, without a word:
#
# - the option `CalibTensorRangeSymmetric`, which makes each calibrated range symmetric: all Relus and Clips are
#   lost. With `ActivationSymmetric` beside it they are kept.
# - `calibrate_method=CalibrationMethod.Distribution`, whose ranges are symmetric by themselves.
# - `QuantFormat.QOperator`, of a Relu and a Clip in a row, as ReLU6 is written by some: the Clip is lost, and
#   outputs go beyond its bound. A Clip alone, and both in a row in QDQ, are right.
#
# Expected: a Relu or Clip is dropped where the range ends at its bound.
# The script fails if a form that is wrong becomes right, or one that is right wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/ranges.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 4, 8, 8)).astype(np.float32)
CONSTANTS = {
    "w": (0.2 * RNG.normal(size=(6, 4, 3, 3))).astype(np.float32),
    "b": (0.3 * RNG.normal(size=6)).astype(np.float32),
    "low": np.float32(0),
    "high": np.float32(1),
}
SYMMETRIC = {"CalibTensorRangeSymmetric": True}
SETTINGS = {
    "default": {},
    "symmetric ranges": {"extra_options": SYMMETRIC},
    "symmetric ranges, uint8": {"extra_options": SYMMETRIC, "activation_type": QuantType.QUInt8},
    "symmetric ranges and activations": {"extra_options": SYMMETRIC | {"ActivationSymmetric": True}},
    "Distribution": {"calibrate_method": CalibrationMethod.Distribution},
    "Percentile": {"calibrate_method": CalibrationMethod.Percentile},
    "QOperator": {"quant_format": QuantFormat.QOperator},
}
LOST = ("symmetric ranges", "symmetric ranges, uint8", "Distribution")
# Operators behind a convolution, settings that lose them.
CASES = {
    "Relu": ([("Relu", [])], LOST),
    "Clip to 0 and 1": ([("Clip", ["low", "high"])], LOST),
    "Relu, Clip to 0 and 1": ([("Relu", []), ("Clip", ["low", "high"])], (*LOST, "QOperator")),
}


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": IMAGES}]

    def get_next(self):
        return self.left.pop() if self.left else None


def model(operators):
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["t0"], name="conv")]
    for i, (kind, bounds) in enumerate(operators):
        nodes.append(helper.make_node(kind, [f"t{i}", *bounds], [f"t{i + 1}"], name=f"{kind}{i}"))
    nodes[-1].output[0] = "y"
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGES.shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 6, 6, 6]),
    ]
    read = {name for node in nodes for name in node.input}
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in CONSTANTS.items() if k in read]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": IMAGES})[0]


def main():
    logging.disable()
    print(f"onnxruntime {onnxruntime.__version__}")
    same = True
    with tempfile.TemporaryDirectory() as folder:
        for name, (operators, wrong) in CASES.items():
            onnx.save(model(operators), f"{folder}/m.onnx")
            expected = run(f"{folder}/m.onnx")
            print(f"{name}: in float32 from {expected.min():.2f} to {expected.max():.2f}")
            for setting, options in SETTINGS.items():
                quantize_static(f"{folder}/m.onnx", f"{folder}/q.onnx", Images(), **options)
                found = run(f"{folder}/q.onnx")
                error = float(np.abs(found - expected).max() / expected.max())
                print(f"  {setting}: from {found.min():.2f} to {found.max():.2f}, off by {error:.2f}")
                same &= (error > 0.5) == (setting in wrong)
                same &= error > 0.5 or error < 0.1
    if not same:
        sys.exit("Changed: see above.")
    print("Relus and Clips are lost.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/ranges.py"
