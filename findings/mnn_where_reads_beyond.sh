#!/usr/bin/env bash
# MNN 3.6.1 (converter, CPU, precision high): the third input of Where, which is taken where the condition does
# not hold, is read as if it had the shape of the output. If it is smaller, and more than one number, outputs
# are what lies in memory behind it, or other elements, without a word. The condition and the second input are
# broadcast as ONNX says. ONNX Runtime 1.32.0 is right in all of them. Networks that choose between a tensor
# and its mean, a row or a value a channel are affected; masks with one number are not.
# Expected: ONNX's values.
#
# The script fails if the third input becomes right, or if a form that is right here becomes wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/where.py" <<'PYTHON'
import subprocess
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
# Shape of the constant, the inputs of Where, whether the outputs are wrong.
CASES = [
    ((1, 3, 1, 1), ["c", "x", "k"], True),
    ((5,), ["c", "x", "k"], True),
    ((1, 1, 4, 5), ["c", "x", "k"], True),
    ((1,), ["c", "x", "k"], False),
    ((2, 3, 4, 5), ["c", "x", "k"], False),
    ((1, 3, 1, 1), ["c", "k", "x"], False),
    ((5,), ["c", "k", "x"], False),
    ((1, 1, 4, 5), ["narrow", "x", "n"], False),
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


def model(shape, inputs):
    constant = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    constants = {"k": constant, "zero": np.float32(0)}
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["c"]),
        helper.make_node("Greater", ["k", "zero"], ["narrow"]),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("Where", inputs, ["y"]),
    ]
    graph = helper.make_graph(
        [node for node in nodes if node.output[0] in (*inputs, "y")], "where",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, IMAGE.shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
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
    for shape, inputs, wrong in CASES:
        made = model(shape, inputs)
        (expected,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": IMAGE})
        error = np.abs(by_mnn(made) - expected).max()
        print(f"Where({', '.join(inputs)}), k of {shape}: error of MNN {error:.2g}")
        same &= bool(error < 1e-5) != wrong  # NaN is wrong
    if not same:
        sys.exit("Changed: see above.")
    print("What is taken where the condition does not hold is read beyond its end.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/where.py"
