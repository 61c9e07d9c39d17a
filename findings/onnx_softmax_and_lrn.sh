#!/usr/bin/env bash
# Two operators of ONNX whose values are other ones in OpenVINO 2026.4.1 (CPU), and in ONNX's own reference
# (`onnx.reference` of onnx 1.23.2), than their definitions say; ONNX Runtime 1.32.0 follows them. Nothing
# is reported.
#
# 1. Softmax before operator set 13 is over all dimensions from `axis` on together. OpenVINO and the
#    reference take `axis` alone. With two dimensions, as of logits, there is no difference.
# 2. LRN (AlexNet, GoogLeNet): OpenVINO cuts `bias` to an integer, 1.2 to 1; the reference sums other
#    channels. With bias 1 or 2 OpenVINO is right. By hand: x / (bias + alpha / size * sum of squares)^beta.
#
# The script fails if one of the wrong values becomes right, or one of the right ones wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/operators.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

IMAGE = np.random.default_rng(0).normal(size=(1, 8, 5, 5)).astype(np.float32)


def softmax(x, first):
    flat = np.exp(x.astype(np.float64)).reshape(*x.shape[:first], -1)
    return (flat / flat.sum(axis=-1, keepdims=True)).reshape(x.shape)


def lrn(x, size, alpha, beta, bias):
    squares, half = np.square(x.astype(np.float64)), size // 2
    sums = [squares[:, max(0, c - half) : c + half + 1].sum(axis=1) for c in range(x.shape[1])]
    return x / (bias + alpha / size * np.stack(sums, axis=1)) ** beta


def answers(x, operator_set, operator, **attributes):
    """Give what OpenVINO, the reference and ONNX Runtime compute."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)], "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", operator_set)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    made, core = model.SerializeToString(), openvino.Core()
    compiled = core.compile_model(core.read_model(made), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "OpenVINO": compiled(x)[0],
        "reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
        "ONNX Runtime": onnxruntime.InferenceSession(made).run(None, {"x": x})[0],
    }


def main():
    print(f"openvino {openvino.__version__}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    logits = IMAGE[:, :, 0, 0]
    local = {"size": 3, "alpha": 0.5, "beta": 0.75}
    cases = [
        ("Softmax 11 of an image", softmax(IMAGE, 1), (IMAGE, 11, "Softmax"), {"axis": 1}, {"OpenVINO", "reference"}),
        ("Softmax 11 of logits", softmax(logits, 1), (logits, 11, "Softmax"), {"axis": 1}, set()),
        ("LRN, bias 1.2", lrn(IMAGE, **local, bias=1.2), (IMAGE, 18, "LRN"), {**local, "bias": 1.2}, {"OpenVINO", "reference"}),
        ("LRN, bias 2", lrn(IMAGE, **local, bias=2.0), (IMAGE, 18, "LRN"), {**local, "bias": 2.0}, {"reference"}),
        ("LRN, bias 1.2, as by 1", lrn(IMAGE, **local, bias=1.0), (IMAGE, 18, "LRN"), {**local, "bias": 1.2}, {"reference", "ONNX Runtime"}),
    ]  # fmt: skip
    same = True
    for name, expected, (x, operator_set, operator), attributes, wrong in cases:
        found = answers(x, operator_set, operator, **attributes)
        errors = {n: float(np.abs(y - expected).max() / np.abs(expected).max()) for n, y in found.items()}
        print(f"{name}: " + ", ".join(f"{n} {e:.1e}" for n, e in errors.items()))
        same &= {n for n, e in errors.items() if e > 1e-3} == wrong
    if not same:
        sys.exit("Changed: see above.")
    print("Both compute something else where the errors are large.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/operators.py"
