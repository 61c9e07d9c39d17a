#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on x86: what `quantize_static` writes with its default types (int8 activations and
# weights, QDQ) is computed in float32 around every tensor that two operators read, without a word. The
# CPU provider turns int8 activations into uint8, but only those that one operator reads; an operator between
# both kinds has no int8 kernel, so it is computed in float32 between conversions, and its weights are
# converted in each run. Each block of a residual network has such a tensor. With `activation_type=QUInt8`
# everything is computed in int8.
# Expected: a model in int8 is computed in int8 whether a tensor is read once or twice.
#
# The script fails if the sums and convolutions of the default are computed in int8, or those of QUInt8 are not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/twice.py" <<'PYTHON'
import collections
import logging
import platform
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

SHAPE = (1, 32, 32, 32)
BLOCKS = 4
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter([IMAGE])

    def get_next(self):
        return {"x": image} if (image := next(self.left, None)) is not None else None


def model(residual):
    """A chain of convolutions, with sums around each pair of them if it is residual."""
    nodes, weights, tensor = [], [], "x"
    for i in range(BLOCKS):
        for j in range(2):
            weights.append(numpy_helper.from_array(
                (RNG.normal(size=(32, 32, 3, 3)) / 17).astype(np.float32), f"w{i}{j}"
            ))  # fmt: skip
        nodes += [
            helper.make_node("Conv", [tensor, f"w{i}0"], [f"a{i}"], name=f"c{i}0", pads=[1] * 4),
            helper.make_node("Relu", [f"a{i}"], [f"r{i}"], name=f"r{i}"),
            helper.make_node("Conv", [f"r{i}", f"w{i}1"], [f"b{i}"], name=f"c{i}1", pads=[1] * 4),
        ]
        last = f"b{i}"
        if residual:
            nodes.append(helper.make_node("Add", [last, tensor], [f"s{i}"], name=f"s{i}"))
            last = f"s{i}"
        tensor = last
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "chain", [value("x", TensorProto.FLOAT, SHAPE)],
        [value(tensor, TensorProto.FLOAT, SHAPE)], weights,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def executed(path, folder):
    """Count the operators that run, and time a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = f"{folder}/executed.onnx"
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(30):
        start = time.thread_time()
        session.run(None, {"x": IMAGE})
        times.append(1e3 * (time.thread_time() - start))
    found = collections.Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)
    return found, float(np.median(times))


def main():
    logging.disable(logging.WARNING)
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, {platform.machine()}")
    if platform.machine() not in ("x86_64", "AMD64"):
        print("Not an x86 CPU: nothing to see here.")
        return
    same = True
    for residual in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            onnx.save(model(residual), f"{folder}/float.onnx")
            _, plain = executed(f"{folder}/float.onnx", folder)
            print(f"residual: {residual}; float32 {plain:.2f} ms")
            for kind in (QuantType.QInt8, QuantType.QUInt8):
                quantize_static(
                    f"{folder}/float.onnx", f"{folder}/int8.onnx", Images(),
                    per_channel=True, activation_type=kind,
                )  # fmt: skip
                found, took = executed(f"{folder}/int8.onnx", folder)
                in_float = {op: found[op] for op in ("Conv", "Add") if found[op]}
                print(f"  activations {kind}: {took:.2f} ms, in float32 {in_float or 'nothing'}; {dict(found)}")
                same &= bool(in_float) == (residual and kind == QuantType.QInt8)
    if not same:
        sys.exit("Changed: see above.")
    print("With int8 activations, operators beside tensors that are read twice compute in float32.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/twice.py"
