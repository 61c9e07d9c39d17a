#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static` (QDQ, MinMax), two graphs that are valid and common, quantised
# without a word into something else:
#
# 1. Attention with a mask that is added, -inf or -1e9 where a token may not look. Scores plus mask are one
#    tensor with one scale of 256 steps over that range, so that nothing is left of the scores: the error is
#    about as large as the values. Leaving the Add and the Softmax in float32 (`nodes_to_exclude`) makes it
#    right, leaving the Add alone does not.
# 2. A Clip whose lower bound is above 0 is dropped: an int8 range always holds 0, so the bound is lost.
#
# Expected: a line, or tensors whose range is not that of numbers left in float32, and the bound.
# The script fails if either is right, or if what is named as right is wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/masks.py" <<'PYTHON'
import logging
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

SHAPE = (2, 4, 8, 8)
RNG = np.random.default_rng(0)
FEEDS = [RNG.normal(size=SHAPE).astype(np.float32) for _ in range(8)]


class Feeds(CalibrationDataReader):
    def __init__(self):
        self.left = iter(FEEDS)

    def get_next(self):
        return {"x": feed} if (feed := next(self.left, None)) is not None else None


def model(nodes, **constants):
    graph = helper.make_graph(
        [helper.make_node(op, i, [o], name=o, **a) for op, i, o, a in nodes], "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.float32(v), n) for n, v in constants.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def attention(hidden):
    nodes = [
        ("Transpose", ["x"], "keys", {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["x", "keys"], "scores", {}),
        ("Add", ["scores", "mask"], "masked", {}),
        ("Softmax", ["masked"], "weights", {"axis": -1}),
        ("MatMul", ["weights", "x"], "y", {}),
    ]
    return model(nodes, mask=np.triu(np.full((8, 8), hidden), 1))


def clipped(low):
    nodes = [("MatMul", ["x", "w"], "a", {}), ("Clip", ["a", "low", "high"], "y", {})]
    return model(nodes, w=RNG.normal(size=(8, 8)) / 8, low=low, high=1.0)


def pair(made, left=()):
    """Give the outputs in float32 and int8."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx.save(made, f"{folder}/float.onnx")
        quantize_static(
            f"{folder}/float.onnx", f"{folder}/int8.onnx", Feeds(), nodes_to_exclude=list(left)
        )
        sessions = (
            onnxruntime.InferenceSession(f"{folder}/{n}.onnx", providers=["CPUExecutionProvider"])
            for n in ("float", "int8")
        )
        return [session.run(None, {"x": FEEDS[0]})[0] for session in sessions]


def main():
    logging.disable(logging.WARNING)
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    same = True
    for hidden, wrong in ((-np.inf, True), (-1e9, True), (-10.0, False)):
        for left in ((), ("masked",), ("masked", "weights")):
            expected, found = pair(attention(hidden), left)
            error = float(np.abs(expected - found).max() / np.abs(expected).max())
            print(f"mask of {hidden:g}, left in float32: {', '.join(left) or 'nothing'}: error {error:.2f}")
            same &= (not error < 0.5) == (wrong and len(left) < 2)
    for low, wrong in ((0.5, True), (-0.5, False)):
        expected, found = pair(clipped(low))
        print(f"Clip from {low}: smallest {expected.min():.2f} in float32, {found.min():.2f} in int8")
        same &= (found.min() < low - 0.1) == wrong
    if not same:
        sys.exit("Changed: see above.")
    print("Masks take the scale of the scores, and lower bounds above 0 are lost.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/masks.py"
