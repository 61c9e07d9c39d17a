#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static` (QDQ, its default of zero points): an output of the model that a
# Relu or Clip reads, too, loses its negative values, without a word: what a Relu or Clip alone reads gets
# the range of what it writes, and that the tensor is an output of the model is not asked. A network
# that returns its features before the last activation beside its logits is such a model. Where another
# node reads the tensor as well, and with `ActivationSymmetric`, the output is right; an Identity between
# the tensor and the output makes it so.
# Expected: an output keeps its range.
#
# The script fails if the output keeps its negative values, or if one of the other forms loses them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/outputs.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

SHAPE = (1, 4, 8, 8)
RNG = np.random.default_rng(0)
IMAGES = [RNG.normal(size=SHAPE).astype(np.float32) for _ in range(8)]
WEIGHTS = {"w": RNG.normal(size=(4, 4, 1, 1)), "b": RNG.normal(size=4)}


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter(IMAGES)

    def get_next(self):
        return {"x": image} if (image := next(self.left, None)) is not None else None


def model(activation, form):
    """Conv(x) is the output `features`, and what the activation reads."""
    bounds = {"zero": 0.0, "six": 6.0} if activation == "Clip" else {}
    inside = "inside" if form == "behind an Identity" else "features"
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], [inside], name="first"),
        helper.make_node(activation, [inside, *bounds], ["active"], name="active"),
        helper.make_node("Conv", ["active", "w", "b"], ["second"], name="second"),
    ]
    if form == "behind an Identity":
        nodes.append(helper.make_node("Identity", [inside], ["features"], name="copy"))
    other = [inside] if form == "with another reader" else ["second"]
    nodes.append(helper.make_node("Add", ["second", *other], ["logits"], name="add"))
    graph = helper.make_graph(
        nodes, form,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in ("logits", "features")],
        [numpy_helper.from_array(np.float32(v), n) for n, v in {**WEIGHTS, **bounds}.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def features(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["features"], {"x": IMAGES[0]})[0]


def main():
    logging.disable(logging.WARNING)
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    same = True
    for activation in ("Relu", "Clip"):
        for form in ("alone", "with another reader", "behind an Identity", "symmetric"):
            with tempfile.TemporaryDirectory() as folder:
                onnx.save(model(activation, form), f"{folder}/float.onnx")
                quantize_static(
                    f"{folder}/float.onnx", f"{folder}/int8.onnx", Images(),
                    extra_options={"ActivationSymmetric": form == "symmetric"},
                )  # fmt: skip
                expected, found = features(f"{folder}/float.onnx"), features(f"{folder}/int8.onnx")
            lost = bool(found.min() >= 0 > expected.min())
            print(f"{activation}, {form}: smallest {expected.min():.2f} in float32, {found.min():.2f} in int8")
            same &= lost == (form == "alone")
            same &= lost or bool(np.abs(found - expected).max() < 0.05 * np.abs(expected).max())
    if not same:
        sys.exit("Changed: see above.")
    print("The output that a Relu or Clip reads, too, loses its negative values.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/outputs.py"
