#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: ReduceSum and ReduceMean of what is stored in int8 (QDQ) in three dimensions (B, T,
# C) over T, or over T and C, compute the first example of the batch alone: of the others the outputs are 0 or
# what lay in memory. Masked means of tokens, as sentence encoders end with, are of that kind. Right are a
# batch of one, float32, the same sums over the other dimensions (but over C with T = 1), the same in two or
# four dimensions, ReduceMax, and the model with the internal setting LP_TRANSFORMS_MODE=NO. ONNX Runtime
# 1.32.0 and ONNX's reference are right in all of them. Seen on an AMD EPYC with AVX512 VNNI. Nothing is
# reported.
# Expected: the sums of every example.
#
# The script fails if the sums become right, or if anything else becomes wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/sums.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model_of(operator, shape, axes, stored):
    """Reduce the input, stored in int8 before or not."""
    step, zero = np.float32(4 / 127), np.int8(0)
    constants = {"step": step, "zero": zero, "axes": np.array(axes)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        helper.make_node(operator, ["d" if stored else "x", "axes"], ["y"], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    left = [length for axis, length in enumerate(shape) if axis not in axes]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, left)
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes if stored else nodes[2:], "sums", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def error(found, wanted):
    """Give the largest error as a share of the largest output."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def main():
    print(f"Python {sys.version.split()[0]}, openvino {openvino.__version__}, "
          f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    as_known, core = True, openvino.Core()
    for operator, shape, axes, stored, expected in (
        ("ReduceSum", (2, 12, 16), (1,), True, False),
        ("ReduceMean", (2, 12, 16), (1,), True, False),
        ("ReduceSum", (3, 7, 5), (1, 2), True, False),
        ("ReduceSum", (4, 1, 9), (2,), True, False),
        ("ReduceSum", (2, 12, 16), (1,), False, True),
        ("ReduceSum", (1, 12, 16), (1,), True, True),
        ("ReduceSum", (2, 12, 16), (0,), True, True),
        ("ReduceSum", (2, 12, 16), (2,), True, True),
        ("ReduceMax", (2, 12, 16), (1,), True, True),
        ("ReduceSum", (2, 1, 12, 16), (2,), True, True),
        ("ReduceSum", (2, 16), (1,), True, True),
    ):
        model = model_of(operator, shape, axes, stored)
        feeds = {"x": np.random.default_rng(0).uniform(-4, 4, shape).astype(np.float32)}
        wanted = ReferenceEvaluator(model).run(None, feeds)[0]
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        right = error(session.run(None, feeds)[0], wanted)
        compiled = core.compile_model(
            core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        found = compiled(feeds)[0]
        own = error(found, wanted)
        print(f"{operator} of {shape} over {axes}, {'int8' if stored else 'float32'}: "
              f"ONNX Runtime {right:.4f}, OpenVINO {own:.4f}")
        as_known &= right < 0.01 and (own < 0.01) == expected
        if not expected:
            first = error(found[:1], wanted[:1])
            print(f"  of the first example {first:.4f}")
            as_known &= first < 0.01
    sys.exit(0 if as_known else "The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/sums.py"
