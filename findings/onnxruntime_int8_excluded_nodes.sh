#!/usr/bin/env bash
# ONNX Runtime 1.32.0: quantize_static (QDQ, its default) with nodes_to_exclude writes for an operator between two
# quantised ones what it writes for one that is to be quantised: DequantizeLinear, operator, QuantizeLinear. The
# session runs it in int8 (QLinearAveragePool, QLinearAdd, QLinearConcat); of sums and joins with the outputs of the
# model in which nothing was excluded, bit for bit. An excluded convolution, whose weights the tool leaves in
# float32, runs in int8 too: the session quantises the weights itself. Nothing is reported.
# Expected: the excluded operator computes in float32, as the documentation of the argument says.
#
# The script fails if an excluded operator is executed in float32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 sympy
cat > "$folder/excluded.py" <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)
SHAPE = (1, 8, 16, 16)
rng = np.random.default_rng(0)
IMAGES = [rng.standard_normal(SHAPE).astype(np.float32) for _ in range(8)]
MIDDLES = {
    "AveragePool": dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "Add": {},
    "Concat": dict(axis=2),
    "Conv": dict(pads=[1, 1, 1, 1]),
}
INPUTS = {"AveragePool": ["b"], "Add": ["a", "b"], "Concat": ["a", "b"], "Conv": ["b", "w3"]}


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"x": image} for image in IMAGES])

    def get_next(self):
        return next(self.left, None)


def network(kind):
    """Two convolutions in front, the operator, and a convolution behind."""
    weights = [
        numpy_helper.from_array(rng.standard_normal((8, 8, 3, 3)).astype(np.float32) / 8, f"w{i}")
        for i in range(4)
    ]
    sides = dict(pads=[1, 1, 1, 1])
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], **sides),
        helper.make_node("Conv", ["a", "w1"], ["b"], **sides),
        helper.make_node(kind, INPUTS[kind], ["c"], name="middle", **MIDDLES[kind]),
        helper.make_node("Conv", ["c", "w2"], ["y"], **sides),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "network", [value("x", TensorProto.FLOAT, SHAPE)],
        [value("y", TensorProto.FLOAT, [1, 8, 32 if kind == "Concat" else 16, 16])],
        weights[: 4 if kind == "Conv" else 3],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def executed(model, folder, excluded):
    onnx.save(model, f"{folder}/float.onnx")
    quantize_static(
        f"{folder}/float.onnx", f"{folder}/int8.onnx", Reader(), nodes_to_exclude=excluded,
        activation_type=QuantType.QUInt8,
    )
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = f"{folder}/optimised.onnx", 3
    session = ort.InferenceSession(
        f"{folder}/int8.onnx", options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(f"{folder}/optimised.onnx").graph.node]
    return session.run(None, {"x": IMAGES[0]})[0], kinds


print(f"Python {sys.version.split()[0]}, onnx {onnx.__version__}, onnxruntime {ort.__version__}")
known = True
for kind in MIDDLES:
    with tempfile.TemporaryDirectory() as folder:
        model = network(kind)
        everything, _ = executed(model, folder, [])
        found, ran = executed(model, folder, ["middle"])
    in_int8 = f"QLinear{kind}" in ran and kind not in ran
    same = bool(np.array_equal(everything, found))
    known = known and in_int8 and (same or kind not in ("Add", "Concat"))
    print(f"{kind} excluded: executed in {'int8' if in_int8 else 'float32'}, "
          f"outputs {'the same' if same else 'others'} as with nothing excluded; {' '.join(ran)}")
sys.exit(0 if known else "The behaviour has changed.")
PYTHON
"$folder/venv/bin/python" "$folder/excluded.py"
