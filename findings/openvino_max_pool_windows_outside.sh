#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: a max pool with `ceil_mode` whose stride is larger than its kernel gives a row and
# a column more than ONNX Runtime 1.32.0, ONNX's reference and PyTorch 2.13.0, filled with the smallest
# float32, -3.4e38, as their windows begin behind the image. ONNX leaves such windows out. Nothing is
# reported, and a convolution behind it spreads the values. Without `ceil_mode`, and with a stride no larger than the
# kernel, all agree.
# Expected: the size that the standard says.
#
# The script fails if the sizes agree, or if a pool that agrees becomes another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/pool.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

IMAGE = np.random.default_rng(0).normal(size=(1, 2, 9, 9)).astype(np.float32)


def model(kernel, stride, ceil_mode):
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, ceil_mode=ceil_mode
    )
    graph = helper.make_graph(
        [node], "pool", [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, None, None])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def main():
    print(f"openvino {openvino.__version__}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    same = True
    for kernel, stride, ceil_mode in ((2, 3, 1), (2, 3, 0), (3, 2, 1), (2, 2, 1)):
        made = model(kernel, stride, ceil_mode)
        (by_ort,) = onnxruntime.InferenceSession(made).run(None, {"x": IMAGE})
        (by_onnx,) = ReferenceEvaluator(made).run(None, {"x": IMAGE})
        compiled = openvino.Core().compile_model(
            openvino.Core().read_model(made), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        by_openvino = compiled(IMAGE)[0]
        print(
            f"kernel {kernel}, stride {stride}, ceil_mode {ceil_mode}: ONNX Runtime {by_ort.shape[2:]}, "
            f"reference {by_onnx.shape[2:]}, OpenVINO {by_openvino.shape[2:]}, smallest {by_openvino.min():.3g}"
        )
        same &= by_ort.shape == by_onnx.shape
        if (kernel, stride, ceil_mode) == (2, 3, 1):
            same &= by_openvino.shape == (1, 2, 4, 4) and bool((by_openvino[:, :, 3] < -3e38).all())
        else:
            same &= by_openvino.shape == by_ort.shape and bool(np.array_equal(by_openvino, by_ort))
    if not same:
        sys.exit("Changed: see above.")
    print("Windows that begin behind the image are values of OpenVINO.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/pool.py"
