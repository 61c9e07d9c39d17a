#!/usr/bin/env bash
# MNN 3.6.1 (converter, CPU, precision high): a cubic Resize of an ONNX model by half pixels, which is what PyTorch
# exports of interpolate(mode="bicubic"), has wrong values along the borders, off by as much as the largest value,
# and `cubic_coeff_a` changes nothing within. By `align_corners` and `asymmetric` it is ONNX Runtime's 1.32.0.
# Expected: ONNX's values, or an operator that is refused. The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/cubic.py" <<'PYTHON'
import sys
import tempfile
from importlib.metadata import version

import _tools
import MNN
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

SHAPE = (1, 3, 8, 8)
# Attributes, whether the borders are ONNX Runtime's, and whether the rest is.
CASES = [
    ({"coordinate_transformation_mode": "half_pixel"}, False, True),
    ({"coordinate_transformation_mode": "pytorch_half_pixel"}, False, True),
    ({"coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.5}, False, False),
    ({"coordinate_transformation_mode": "align_corners"}, True, True),
    ({"coordinate_transformation_mode": "asymmetric"}, True, True),
]


def model(attributes):
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic", **attributes)],
        "cubic",
        [helper.make_tensor_value_info("x", 1, SHAPE)],
        [helper.make_tensor_value_info("y", 1, (1, 3, 16, 16))],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def in_mnn(made, x):
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(made, f"{folder}/m.onnx")
        files = ["--modelFile", f"{folder}/m.onnx", "--MNNModel", f"{folder}/m.mnn"]
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "x"])
        settings = {"backend": "CPU", "precision": "high", "numThread": 1}
        manager = MNN.nn.create_runtime_manager((settings,))
        net = MNN.nn.load_module_from_file(f"{folder}/m.mnn", ["x"], ["y"], runtime_manager=manager)
        image = MNN.expr.placeholder(list(SHAPE), MNN.expr.NCHW)
        image.write(x)
        return np.array(MNN.expr.convert(net.forward(image), MNN.expr.NCHW).read())


def main():
    print(f"result: MNN {version('MNN')}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    as_known = True
    for attributes, *known in CASES:
        made = model(attributes)
        (expected,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})
        off = np.abs(in_mnn(made, x) - expected)
        within = off[..., 3:-3, 3:-3].max()
        print(f"result: {attributes}: off by {off.max():.2g}, within by {within:.2g}, "
              f"largest value {np.abs(expected).max():.2g}")
        as_known &= [bool(off.max() < 1e-4), bool(within < 1e-4)] == known
    sys.exit(not as_known)


main()
PYTHON
"$folder/venv/bin/python" "$folder/cubic.py" | grep '^result'
