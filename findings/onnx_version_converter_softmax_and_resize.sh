#!/usr/bin/env bash
# onnx 1.23.2, `onnx.version_converter.convert_version`: three operators keep their form where the version that
# one converts to reads it otherwise. The checker takes each model, and nothing is reported.
#
# - Softmax and LogSoftmax over another axis than the last (segmentation, attention over channels), from
#   operator set 13 or later to 12 or earlier: there they are over all axes from `axis` on together.
# - Hardmax the other way, from 12 or earlier upwards. Softmax is right in this direction.
# - Upsample 9 and Resize 10 with mode `linear` (decoders of older PyTorch) to 11 or later: they compute
#   `asymmetric`, the new node has no attribute and so `half_pixel`. Mode `nearest` is right.
#
# Values are ONNX Runtime 1.32.0's of both models. Expected: equal ones, or an error, as for operators
# without an adapter.
# The script fails if one of the wrong ones becomes right, or one of the right ones wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/versions.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

SHAPE = (1, 4, 5, 6)
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
SCALES = np.array([1, 1, 2, 2.5], np.float32)
# Operator, attributes, constants, from and to which versions, whether the values are kept.
CASES = [
    ("Softmax", {"axis": 1}, (), 13, (12, 11), False),
    ("Softmax", {"axis": -2}, (), 18, (12, 11), False),
    ("LogSoftmax", {"axis": 1}, (), 13, (12, 11), False),
    ("Softmax", {"axis": -1}, (), 13, (12, 11), True),
    ("Softmax", {"axis": 1}, (), 18, (17, 13), True),
    ("Softmax", {"axis": 1}, (), 11, (13, 18), True),
    ("Hardmax", {"axis": 1}, (), 11, (13, 18), False),
    ("Upsample", {"mode": "linear"}, (SCALES,), 9, (11, 13, 19), False),
    ("Resize", {"mode": "linear"}, (SCALES,), 10, (11, 13, 19), False),
    ("Upsample", {"mode": "nearest"}, (SCALES,), 9, (11, 13, 19), True),
    ("Resize", {"mode": "nearest"}, (SCALES,), 10, (11, 13, 19), True),
]


def model(operator, attributes, constants, version):
    names = [f"c{i}" for i in range(len(constants))]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *names], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(c, n) for n, c in zip(names, constants)],
    )
    opset = helper.make_opsetid("", version)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def values(found):
    onnx.checker.check_model(found)
    session = onnxruntime.InferenceSession(
        found.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": IMAGE})[0]


def main():
    print(f"Python {sys.version.split()[0]}, onnx {onnx.__version__}")
    print(f"onnxruntime {onnxruntime.__version__}")
    same = True
    for operator, attributes, constants, old, versions, kept in CASES:
        before = model(operator, attributes, constants, old)
        for new in versions:
            after = values(version_converter.convert_version(before, new))
            error = np.abs(after - values(before)).max()
            told = "right" if error < 1e-5 else f"off by {error:.2g}"
            print(f"{operator} {attributes} from {old} to {new}: {told}")
            same &= (error < 1e-5) == kept
    if not same:
        sys.exit("Changed: see above.")
    print("Softmax downwards, Hardmax and linear resizing upwards are other functions.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/versions.py"
