#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static(quant_format=QuantFormat.QOperator)`, two valid graphs that it makes
# something else of without a word; with QDQ, its default, both are right:
#
# 1. A bias that two convolutions read, as where a head is shared by the levels of a pyramid or equal biases were
#    merged into one constant. It is quantised once, with the scales of the first one's input and weight,
#    and the second one adds it by other scales: here it counts a multiple of itself.
# 2. An average pool with `ceil_mode` that counts its padding: the windows beyond the border divide by their full
#    size, where ONNX (and PyTorch) count what lies inside the padded image: half of the value for 2x2.
#
# Expected: a quantised bias for each pair of scales, and the same divisor.
# The script fails if one of the two becomes right, or if one of the right forms is wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/forms.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

SHAPE = (1, 8, 9, 9)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
WEIGHT = (RNG.normal(size=(8, 8, 3, 3)) / 3).astype(np.float32)
BIAS = RNG.normal(size=8).astype(np.float32)
CONSTANTS = {"w": WEIGHT, "w2": WEIGHT[::-1] / 10, "b": BIAS, "b2": BIAS}


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": IMAGE}]

    def get_next(self):
        return self.left.pop() if self.left else None


def convs(bias):
    return [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2", bias], ["y"], name="second", pads=[1, 1, 1, 1]),
    ]


def pool(ceil_mode, counted):
    sizes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    flags = {"ceil_mode": ceil_mode, "count_include_pad": counted}
    return [helper.make_node("AveragePool", ["x"], ["y"], name="pool", **sizes, **flags)]


# Nodes, and whether QOperator computes them.
CASES = {
    "a bias each": (convs("b2"), True),
    "one bias for both": (convs("b"), False),
    "average pool": (pool(0, 1), True),
    "average pool, ceil_mode": (pool(1, 0), True),
    "average pool, ceil_mode, counts padding": (pool(1, 1), False),
}


def model(nodes):
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(v, n) for n, v in CONSTANTS.items() if n in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def answer(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": IMAGE})[0]


def main():
    logging.disable()
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}")
    same = True
    with tempfile.TemporaryDirectory() as folder:
        path, lower = f"{folder}/m.onnx", f"{folder}/q.onnx"
        for name, (nodes, right) in CASES.items():
            onnx.save(model(nodes), path)
            expected, errors = answer(path), {}
            for form in (QuantFormat.QDQ, QuantFormat.QOperator):
                quantize_static(path, lower, Images(), quant_format=form)
                errors[form] = float(np.abs(answer(lower) - expected).max() / np.abs(expected).max())
            print(f"{name}: errors {', '.join(f'{f.name} {e:.3f}' for f, e in errors.items())}")
            same &= errors[QuantFormat.QDQ] < 0.05
            same &= (errors[QuantFormat.QOperator] < 0.05) == right
    if not same:
        sys.exit("Changed: see above.")
    print("QOperator computes a shared bias and a pool with ceil_mode otherwise.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/forms.py"
