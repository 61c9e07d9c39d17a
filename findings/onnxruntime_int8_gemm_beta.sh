#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static`: the `beta` of a Gemm, by which its bias counts (`torch.addmm` and linear
# regressions of other tools have one), is lost without a word. The bias is quantised with a scale that is
# `beta` times as large, and so stays what it was, and `beta` becomes 1. In int8 and in 16 bits, a layer or a
# channel a scale, QDQ and QOperator; ONNX Runtime's fused kernel then counts the bias by 1 / beta. With `alpha`
# QDQ is right, and QOperator loses it for the bias. A bias that is multiplied beforehand is right.
#
# Expected: y = alpha x w + beta b, within the steps of the numbers.
# The script fails if a bias with beta is right, or if one of the right forms is wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/beta.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(16, 32)).astype(np.float32)
WEIGHT, BIAS = RNG.normal(size=(32, 8)).astype(np.float32), 8 * RNG.normal(size=8).astype(np.float32)
FORMS = {
    "QDQ": {},
    "QDQ, a channel a scale": {"per_channel": True},
    "QDQ, 16 bits": {"activation_type": QuantType.QUInt16},
    "QOperator": {"quant_format": QuantFormat.QOperator},
}
# alpha, beta, whether the bias is multiplied beforehand; forms that are wrong.
CASES = [
    (1.0, 1.0, False, ()),
    (0.5, 1.0, False, ("QOperator",)),
    (1.0, 2.0, False, tuple(FORMS)),
    (1.0, 0.5, False, tuple(FORMS)),
    (1.0, 2.0, True, ()),
    (1.0, 0.5, True, ()),
]


class Rows(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": ROWS}]

    def get_next(self):
        return self.left.pop() if self.left else None


def model(alpha, beta, multiplied):
    bias = beta * BIAS if multiplied else BIAS
    node = helper.make_node(
        "Gemm", ["x", "w", "b"], ["y"], name="gemm", alpha=alpha, beta=1.0 if multiplied else beta
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ROWS.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 8])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(bias.astype(np.float32), "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def main():
    logging.disable()
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}")
    same = True
    with tempfile.TemporaryDirectory() as folder:
        for alpha, beta, multiplied, wrong in CASES:
            onnx.save(model(alpha, beta, multiplied), f"{folder}/m.onnx")
            expected = alpha * ROWS @ WEIGHT + beta * BIAS
            errors = {}
            for form, options in FORMS.items():
                quantize_static(f"{folder}/m.onnx", f"{folder}/q.onnx", Rows(), **options)
                session = onnxruntime.InferenceSession(
                    f"{folder}/q.onnx", providers=["CPUExecutionProvider"]
                )
                found = session.run(None, {"x": ROWS})[0]
                errors[form] = float(np.abs(found - expected).max() / np.abs(expected).max())
                same &= (errors[form] > 0.1) == (form in wrong)
            told = ", ".join(f"{form} {error:.3f}" for form, error in errors.items())
            how = " multiplied beforehand" if multiplied else ""
            print(f"alpha {alpha}, beta {beta}{how}: errors {told}")
    if not same:
        sys.exit("Changed: see above.")
    print("beta is lost.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/beta.py"
