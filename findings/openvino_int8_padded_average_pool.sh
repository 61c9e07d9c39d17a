#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: in a model quantised to int8 with zero points (QDQ; ONNX Runtime's own
# `quantize_static` writes such a model by default) an average pool that counts its padding, which is
# PyTorch's default, gives wrong values along the border: the pool runs on the quantised tensor and is
# padded with the number 0, where the quantised form of 0 is the zero point. For zero point -128 and
# scale 1/64 every padded value counts as 2.0. The inside of the image is right, ONNX Runtime 1.32.0
# and ONNX's reference are right everywhere, and with zero point 0 so is OpenVINO. Nothing is reported.
# Expected: that padding is with the zero point, or that such a pool runs on dequantised values.
#
# The script fails if the border becomes right, or if anything else becomes wrong.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

SHAPE = (1, 4, 8, 8)


def model_with(zero_point):
    """1x1 convolution with weights 1, then the pool, each output quantised to int8."""
    weights = {
        "scale": np.float32(1 / 64),
        "zero": np.int8(zero_point),
        "weight_scale": np.float32(1 / 127),
        "no_zero": np.int8(0),
        "weight": 127 * np.eye(4, dtype=np.int8).reshape(4, 4, 1, 1),
    }
    nodes = []

    def quantised(name):
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"])
        )
        return f"{name}_d"

    nodes.append(helper.make_node("DequantizeLinear", ["weight", "weight_scale", "no_zero"], ["w"]))
    nodes.append(helper.make_node("Conv", [quantised("x"), "w"], ["c"]))
    pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1], "count_include_pad": 1}
    nodes.append(helper.make_node("AveragePool", [quantised("c")], ["y"], **pool))
    graph = helper.make_graph(
        nodes,
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def outputs(model, x):
    content = model.SerializeToString()
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(content), "CPU", settings)
    layers = {
        op.get_rt_info()["layerType"].astype(str): op.get_rt_info()["runtimePrecision"].astype(str)
        for op in compiled.get_runtime_model().get_ops()
    }
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return {
        "reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
        "onnxruntime": session.run(None, {"x": x})[0],
        "openvino": compiled([x])[0],
    }, layers.get("Pooling")


def main():
    print(f"Python {sys.version.split()[0]}, openvino {openvino.__version__}, "
          f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    x = np.random.default_rng(0).uniform(0, 3.5, SHAPE).astype(np.float32)
    inside = np.s_[..., 1:-1, 1:-1]
    errors = {}
    for zero_point in (-128, 0):
        found, pool = outputs(model_with(zero_point), x)
        for name in ("onnxruntime", "openvino"):
            off = np.abs(found[name] - found["reference"])
            errors[name, zero_point] = off.max(), off[inside].max()
            print(f"zero point {zero_point:4}, {name:11}: largest error {off.max():.3f}, inside "
                  f"{off[inside].max():.3f} (largest output {found['reference'].max():.3f}, "
                  f"OpenVINO's pool runs in {pool})")
    wrong = errors.pop(("openvino", -128))
    # Rounding is at most a few steps of 1/64.
    as_known = wrong[0] > 0.5 and wrong[1] < 0.05 and all(e[0] < 0.05 for e in errors.values())
    sys.exit(0 if as_known else "The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/pool.py"
