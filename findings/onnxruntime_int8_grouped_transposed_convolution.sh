#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static(per_channel=True)`: a transposed convolution with groups and a bias
# raises "operands could not be broadcast together". Its weight is (C_in, C_out / groups, ...) and gets a
# scale for each of the C_out / groups entries of that axis, by which the bias of C_out values is divided.
# Without a bias, with one scale a weight, or with one output channel a group it is quantised.
# Expected: C_out scales, or a line that names the node.
#
# The script fails if that form is quantised, or if one of the others is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/groups.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

SHAPE = (1, 8, 4, 4)
RNG = np.random.default_rng(0)


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter([RNG.normal(size=SHAPE).astype(np.float32) for _ in range(4)])

    def get_next(self):
        return {"x": image} if (image := next(self.left, None)) is not None else None


def model(groups, bias):
    tensors = {"w": RNG.normal(size=(8, 8 // groups, 3, 3)), **({"b": RNG.normal(size=8)} if bias else {})}
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", *tensors], ["y"], name="up", group=groups, pads=[1] * 4)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.float32(v), n) for n, v in tensors.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def main():
    logging.disable(logging.WARNING)
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    same = True
    for groups in (1, 2, 8):
        for bias in (False, True):
            for per_channel in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    onnx.save(model(groups, bias), f"{folder}/float.onnx")
                    try:
                        quantize_static(
                            f"{folder}/float.onnx", f"{folder}/int8.onnx", Images(), per_channel=per_channel
                        )
                        said = "quantised"
                    except ValueError as error:
                        said = str(error)
                print(f"groups {groups}, bias {bias}, per channel {per_channel}: {said}")
                same &= ("broadcast" in said) == (groups == 2 and bias and per_channel)
    if not same:
        sys.exit("Changed: see above.")
    print("Groups, a bias and a scale a channel do not go together.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/groups.py"
