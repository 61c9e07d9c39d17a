#!/usr/bin/env bash
# MNN 3.6.1 (converter, CPU, precision high): six operators of ONNX models that it converts and runs are
# computed otherwise than ONNX says, and ONNX Runtime 1.32.0 computes, without a word:
#
# - ReduceL2 and ReduceLogSumExp with `axes` as an input, as from operator set 18 on, reduce all dimensions to
#   one value. Before, with `axes` as an attribute, ReduceL2 drops the dimension unless `keepdims` is
#   written out, whose default is 1. ReduceMean is right.
# - PReLU with a slope for each column (one for each channel is right); Shrink; Pad by negative numbers,
#   which crops; ConvTranspose with `output_shape` (with `pads` it is right).
#
# Expected: ONNX's values, or an operator that is refused.
# The script fails if one of them becomes right, or if a form that is right here becomes wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/operators.py" <<'PYTHON'
import subprocess
import sys
import tempfile
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(1, 4, 6, 7)).astype(np.float32)
WEIGHT = RNG.normal(size=(4, 4, 3, 3))
CONV = {"strides": [2, 2]}
# Name, operator, its further inputs, its attributes, operator set, whether it is wrong.
CASES = [
    ("ReduceL2, axes as input", "ReduceL2", {"axes": np.array([1])}, {}, 18, True),
    ("ReduceL2, axes as attribute", "ReduceL2", {}, {"axes": [1]}, 13, True),
    ("ReduceL2, axes and keepdims as attributes", "ReduceL2", {}, {"axes": [1], "keepdims": 1}, 13, False),
    ("ReduceLogSumExp, axes as input", "ReduceLogSumExp", {"axes": np.array([1])}, {}, 18, True),
    ("ReduceMean, axes as input", "ReduceMean", {"axes": np.array([1])}, {}, 18, False),
    ("PReLU, a slope a column", "PRelu", {"slope": RNG.normal(size=7)}, {}, 18, True),
    ("PReLU, a slope a channel", "PRelu", {"slope": RNG.normal(size=(4, 1, 1))}, {}, 18, False),
    ("Shrink", "Shrink", {}, {"lambd": 0.5, "bias": 0.2}, 18, True),
    ("Pad by -1 and 1", "Pad", {"pads": np.array([0, 0, -1, 1, 0, 0, 1, -1])}, {}, 18, True),
    ("Pad by 1", "Pad", {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, {}, 18, False),
    ("ConvTranspose, output_shape", "ConvTranspose", {"w": WEIGHT}, {**CONV, "output_shape": [12, 14]}, 18, True),
    ("ConvTranspose, pads", "ConvTranspose", {"w": WEIGHT}, {**CONV, "pads": [1, 1, 0, 0]}, 18, False),
]  # fmt: skip
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


def model(operator, inputs, attributes, operator_set):
    tensors = [
        numpy_helper.from_array(v.astype(np.int64 if v.dtype == np.int64 else np.float32), n)
        for n, v in inputs.items()
    ]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *inputs], ["y"], **attributes)], "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)], tensors,
    )  # fmt: skip
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", operator_set)], ir_version=8
    )
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
    for name, operator, inputs, attributes, operator_set, wrong in CASES:
        made = model(operator, inputs, attributes, operator_set)
        (expected,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": IMAGE})
        found = by_mnn(made)
        agrees = found.shape == expected.shape and bool(np.abs(found - expected).max() < 1e-3)
        said = "agrees" if agrees else f"shape {found.shape}"
        if found.shape == expected.shape and not agrees:
            said = f"error {np.abs(found - expected).max():.2g}"
        print(f"{name}: ONNX Runtime {expected.shape}, MNN {said}")
        same &= agrees != wrong
    if not same:
        sys.exit("Changed: see above.")
    print("Six operators are computed otherwise.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/operators.py"
