#!/usr/bin/env bash
# OpenVINO 2026.4.1 and MNN 3.6.1 do not read the functions that an ONNX model declares (model-local functions, in
# ONNX since IR version 8): calls are told as operators that are not there. OpenVINO says "No conversion rule found
# for operations: mine.Squared", MNN's converter "These Op Not Support: ONNX::Squared" and writes no file. ONNX's
# checker accepts the model, and ONNX Runtime 1.32.0 computes it. With the functions written out by
# `onnx.inliner.inline_local_functions` both compute the right values.
# Expected: functions are read as ONNX defines them.
#
# The script fails if one of them reads the model with its function, or cannot run it without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 MNN==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/run.py" <<'PYTHON'
import os
import sys

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
from onnx import helper

sets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
body = [helper.make_node("Mul", ["a", "a"], ["b"])]
squared = helper.make_function("mine", "Squared", ["a"], ["b"], body, sets[:1])
ends = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in "xy"]
call = helper.make_node("Squared", ["x"], ["y"], domain="mine")
graph = helper.make_graph([call], "calls", ends[:1], ends[1:])
model = helper.make_model(graph, functions=[squared], opset_imports=sets, ir_version=8)
onnx.checker.check_model(model, full_check=True)
x = np.array([[1, -2, 3, 0.5]], np.float32)
failed = False


def by_openvino(content):
    core = openvino.Core()
    try:
        read = core.read_model(content)
    except Exception as error:
        return [line for line in str(error).splitlines() if "mine" in line][0].strip()
    return core.compile_model(read, "CPU")(x)[0].tolist()


def by_mnn(content):
    import _tools
    import MNN

    folder = os.environ["FOLDER"]
    with open(f"{folder}/m.onnx", "wb") as file:
        file.write(content)
    if os.path.exists(f"{folder}/m.mnn"):
        os.remove(f"{folder}/m.mnn")
    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", f"{folder}/m.onnx",
         "--MNNModel", f"{folder}/m.mnn", "--bizCode", "x"]
    )
    if not os.path.exists(f"{folder}/m.mnn"):
        return "no file"
    module = MNN.nn.load_module_from_file(f"{folder}/m.mnn", ["x"], ["y"])
    given = MNN.expr.placeholder([1, 4], MNN.expr.NCHW)
    given.write(x)
    return np.array(module.forward(given).read()).tolist()


inlined = onnx.inliner.inline_local_functions(model).SerializeToString()
content = model.SerializeToString()
right = (x**2).tolist()
session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
print("ONNX Runtime, with its function:", session.run(None, {"x": x})[0].tolist(), file=sys.stderr)
failed |= session.run(None, {"x": x})[0].tolist() != right
for name, run in (("OpenVINO", by_openvino), ("MNN", by_mnn)):
    found, written_out = run(content), run(inlined)
    print(f"{name}, with its function: {found}", file=sys.stderr)
    print(f"{name}, written out: {written_out}", file=sys.stderr)
    failed |= found == right or written_out != right
sys.exit(failed)
PYTHON
FOLDER=$folder "$folder/venv/bin/python" "$folder/run.py"
