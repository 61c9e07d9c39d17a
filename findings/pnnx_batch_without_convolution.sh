#!/usr/bin/env bash
# pnnx 20261020 with ncnn 1.0.20261020: ncnn has no batch, and pnnx takes the first dimension off where
# it can tell that it is one, by the convolutions and pools of a network. A network that has none, such
# as one Add or Mul of an image and a constant of shape (1, C, H, W) or (1, C, 1, 1), keeps the
# constant's first dimension while images come without: ncnn broadcasts the two to one dimension more.
# Both tools end without an error, and the output has C times as many numbers. Behind an average pool of
# 1x1, which changes nothing, shapes and values are ONNX Runtime's. So an element-wise operator cannot
# be run, or timed, by itself in ncnn.
# Expected: the output's shape, whatever else is in the network, or an error.
#
# The script fails if a network without a pool gets the right shape, or one with a pool another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pnnx==20261020 ncnn==1.0.20261020 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/batch.py" <<'PYTHON'
import pathlib
import subprocess
import sys
import tempfile

import ncnn
import numpy as np
import onnx
import onnxruntime
import pnnx
from onnx import helper, numpy_helper

IMAGE = (1, 6, 5, 4)
CONSTANTS = {"an image": IMAGE, "one a channel": (1, 6, 1, 1)}


def model(operator, constant, pooled):
    nodes = [helper.make_node(operator, ["p" if pooled else "x", "c"], ["y"])]
    if pooled:
        nodes.insert(0, helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[1, 1]))
    graph = helper.make_graph(
        nodes, "batch",
        [helper.make_tensor_value_info("x", 1, IMAGE)],
        [helper.make_tensor_value_info("y", 1, IMAGE)],
        [numpy_helper.from_array(constant, "c")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def in_ncnn(made, x):
    """Convert, load and run; say what each gave, and give the outputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        onnx.save(made, folder / "model.onnx")
        sizes = ",".join(map(str, IMAGE))
        command = [pnnx.EXEC_PATH, "model.onnx", f"inputshape=[{sizes}]", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True)
        net = ncnn.Net()
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{half}", False)
        codes = [done.returncode, net.load_param(str(folder / "model.ncnn.param"))]
        codes.append(net.load_model(str(folder / "model.ncnn.bin")))
        with net.create_extractor() as extractor:
            image = np.ascontiguousarray(x[0])
            extractor.input("in0", ncnn.Mat(image))
            code, found = extractor.extract("out0")
            return [*codes, code], np.array(found)


def main():
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, "
          f"onnx {onnx.__version__}, numpy {np.__version__}, ncnn {ncnn.__version__}, pnnx 20261020")
    rng = np.random.default_rng(0)
    x = rng.normal(size=IMAGE).astype(np.float32)
    as_known = True
    for operator in ("Add", "Mul"):
        for name, shape in CONSTANTS.items():
            constant = rng.normal(size=shape).astype(np.float32)
            for pooled in (False, True):
                made = model(operator, constant, pooled)
                run = onnxruntime.InferenceSession(
                    made.SerializeToString(), providers=["CPUExecutionProvider"]
                ).run
                (expected,) = run(None, {"x": x})
                codes, found = in_ncnn(made, x)
                right = found.shape == IMAGE[1:] and np.allclose(found, expected[0], atol=1e-5)
                where = "behind a pool" if pooled else "alone"
                print(f"{operator} of {name}, {where}: codes {codes}, output {found.shape} for "
                      f"{IMAGE[1:]}: {'right' if right else 'wrong'}")
                as_known &= codes == [0, 0, 0, 0] and right == pooled
    sys.exit(not as_known)


main()
PYTHON
"$folder/venv/bin/python" "$folder/batch.py"
