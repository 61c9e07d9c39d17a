#!/usr/bin/env bash
# pnnx 20261020 with ncnn 1.0.20261020: ReduceMean and ReduceSum over one dimension, which an input names, as
# from operator set 18 (13) on, reduce nothing: the mean over time or tokens of networks of sequences, and the
# mean over channels or rows of images. Both tools end without an error, and the output has its input's shape.
# Over two dimensions, and with `axes` as an attribute, as before, shapes and values are ONNX Runtime's.
# Inputs are given with the `batch_index` that pnnx writes into model_ncnn.py.
# Expected: the mean, or an error. The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pnnx==20261020 ncnn==1.0.20261020 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/reductions.py" <<'PYTHON'
import pathlib
import re
import subprocess
import sys
import tempfile

import ncnn
import numpy as np
import onnx
import onnxruntime
import pnnx
from onnx import helper, numpy_helper

SIGNAL, IMAGE = (1, 6, 8), (1, 6, 5, 4)


def reduced(kind, axes):
    return [helper.make_node(kind, ["x", "axes"], ["y"], keepdims=0)], {"axes": np.array(axes)}


def as_attribute(axes):
    return [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0, axes=axes)], {}


def behind_convolution(axes):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("ReduceMean", ["c", "axes"], ["y"], keepdims=0),
    ]
    return nodes, {"w": np.full((6, 6, 3), 0.1, np.float32), "axes": np.array(axes)}


# Name, nodes and constants, shape of the input, operator set, whether ncnn's outputs are right.
CASES = [
    ("mean over the second of three dimensions", reduced("ReduceMean", [1]), SIGNAL, 18, False),
    ("sum over the second of three dimensions", reduced("ReduceSum", [1]), SIGNAL, 13, False),
    ("mean over time behind a convolution", behind_convolution([2]), SIGNAL, 18, False),
    ("mean over the channels of an image", reduced("ReduceMean", [1]), IMAGE, 18, False),
    ("mean over an image", reduced("ReduceMean", [2, 3]), IMAGE, 18, True),
    ("mean over two of three dimensions", reduced("ReduceMean", [1, 2]), SIGNAL, 18, True),
    ("mean over the second of three, by an attribute", as_attribute([1]), SIGNAL, 13, True),
    ("mean over the channels, by an attribute", as_attribute([1]), IMAGE, 13, True),
]  # fmt: skip


def model(nodes, constants, shape, opset):
    graph = helper.make_graph(
        nodes, "reductions",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def in_ncnn(made, x):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        onnx.save(made, folder / "model.onnx")
        sizes = ",".join(map(str, x.shape))
        command = [pnnx.EXEC_PATH, "model.onnx", f"inputshape=[{sizes}]", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True)
        called = (folder / "model_ncnn.py").read_text()
        given, taken = (int(n) for n in re.findall(r"batch_index=(\d+)", called))
        net = ncnn.Net()
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{half}", False)
        codes = [done.returncode, net.load_param(str(folder / "model.ncnn.param"))]
        codes.append(net.load_model(str(folder / "model.ncnn.bin")))
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(x, batch_index=given))
            code, found = extractor.extract("out0")
            return [*codes, code], np.array(found.numpy(batch_index=taken))


def main():
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, "
          f"onnx {onnx.__version__}, numpy {np.__version__}, ncnn {ncnn.__version__}, pnnx 20261020")
    as_known = True
    for name, (nodes, constants), shape, opset, known in CASES:
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        made = model(nodes, constants, shape, opset)
        session = onnxruntime.InferenceSession(
            made.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (expected,) = session.run(None, {"x": x})
        codes, found = in_ncnn(made, x)
        right = found.shape == expected.shape and np.allclose(found, expected, atol=1e-5)
        print(f"{name}: codes {codes}, output {found.shape} for {expected.shape}: "
              f"{'right' if right else 'wrong'}")
        as_known &= codes == [0, 0, 0, 0] and right == known
    sys.exit(not as_known)


main()
PYTHON
"$folder/venv/bin/python" "$folder/reductions.py"
