#!/usr/bin/env bash
# MNN 3.6.1 (converter, CPU, precision high): Less of two negative numbers in float32 is true where it should be
# false, and the other way round, without a word; it is right where one of them is not negative, as if the bits
# were compared as integers. Greater, GreaterOrEqual and LessOrEqual are right, and so is ONNX Runtime 1.32.0 in
# all of them. Masks such as `x < -1` are affected. `b > a` instead of `a < b` is right.
# Expected: ONNX's values.
#
# The script fails if Less becomes right, or if a form that is right here becomes wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/less.py" <<'PYTHON'
import subprocess
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
# Operator, the constant, whether it is the first input, whether the outputs are wrong.
CASES = [
    ("Less", -1.0, False, True),
    ("Less", -1.0, True, True),
    ("Less", 0.0, False, False),
    ("Less", 0.5, False, False),
    ("Greater", -1.0, False, False),
    ("Greater", -1.0, True, False),
    ("GreaterOrEqual", -1.0, False, False),
    ("LessOrEqual", -1.0, False, False),
]
# In a process of its own, since the converter prints from C++.
RUN = """
import sys, _tools, MNN, numpy as np
source, target, image, answer = sys.argv[1:]
_tools.mnnconvert(["", "-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "x"])
manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": 1},))
network = MNN.nn.load_module_from_file(target, ["x"], ["y"], runtime_manager=manager)
x = np.load(image)
(y,) = network.forward([MNN.expr.const(x, list(x.shape), MNN.expr.NCHW)])
np.save(answer, np.array(MNN.expr.convert(y, MNN.expr.NCHW).read()))
"""


def model(operator, constant, is_first):
    nodes = [
        helper.make_node(operator, ["k", "x"] if is_first else ["x", "k"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes, "compared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, IMAGE.shape)],
        [numpy_helper.from_array(np.asarray(constant, np.float32), "k")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def by_mnn(made):
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(made, f"{folder}/model.onnx")
        np.save(f"{folder}/x.npy", IMAGE)
        names = (f"{folder}/{n}" for n in ("model.onnx", "model.mnn", "x.npy", "y.npy"))
        subprocess.run([sys.executable, "-c", RUN, *names], check=True, capture_output=True)
        return np.load(f"{folder}/y.npy")


def main():
    print(f"MNN {version('MNN')}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    same = True
    for operator, constant, is_first, wrong in CASES:
        made = model(operator, constant, is_first)
        (expected,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": IMAGE})
        share = float(np.mean(by_mnn(made) != expected))
        inputs = f"{constant}, x" if is_first else f"x, {constant}"
        print(f"{operator}({inputs}): {share:.0%} of MNN's outputs are wrong")
        same &= (share == 0) != wrong
    if not same:
        sys.exit("Changed: see above.")
    print("Less takes negative numbers in the wrong order.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/less.py"
