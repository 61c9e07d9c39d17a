#!/usr/bin/env bash
# MNN 3.6.1, CPU, precision high: two kinds of constants in ONNX models are computed wrongly, without a
# word. (1) ConstantOfShape without the attribute `value`, whose default in the standard is 0.0 in
# float32: where it is added to a convolution's output, the sum holds what happened to lie in memory (errors of
# 1 to 1e30, another one in each process). With the value written out the sum is right. (2) A
# BatchNormalization whose input is constant: x + BatchNormalization(zeros) is off by about the
# normalised mean, with the value written out too. Of an input that is not constant it is right.
# ONNX Runtime 1.32.0 and ONNX's checker take all four models.
# Expected: the standard's default, and the same batch norm for constants.
#
# The script fails if one of the two wrong forms is right five times, or one of the right ones is wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/constants.py" <<'PYTHON'
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

SHAPE = (1, 8, 8, 8)


def model(value, norm, constant=True):
    """Conv(x) + zeros, through a batch norm where `norm`; the zeros are Conv(x) * 0 if not constant."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(8, 8, 3, 3)), "w2": rng.normal(size=(8, 8, 1, 1)),
        "scale": np.ones(8), "shift": np.zeros(8), "mean": rng.normal(size=8),
        "var": rng.uniform(0.5, 1.5, size=8), "nought": np.zeros(()),
    }
    tensors = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    tensors.append(numpy_helper.from_array(np.array(SHAPE, np.int64), "shape"))
    given = {"value": numpy_helper.from_array(np.zeros(1, np.float32))} if value else {}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])]
    if constant:
        nodes.append(helper.make_node("ConstantOfShape", ["shape"], ["z"], **given))
    else:
        nodes.append(helper.make_node("Mul", ["c", "nought"], ["z"]))
    last = "z"
    if norm:
        last = "n"
        nodes.append(
            helper.make_node("BatchNormalization", ["z", "scale", "shift", "mean", "var"], ["n"])
        )
    nodes.append(helper.make_node("Add", ["c", last], ["s"]))
    nodes.append(helper.make_node("Conv", ["s", "w2"], ["y"]))
    graph = helper.make_graph(
        nodes, "constants",
        [helper.make_tensor_value_info("x", 1, SHAPE)], [helper.make_tensor_value_info("y", 1, SHAPE)],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


MODELS = {
    "no value": (False, False, True), "value": (True, False, True),
    "batch norm of a constant": (True, True, True), "batch norm of no constant": (True, True, False),
}


def error(name):
    """Largest difference from ONNX Runtime as a share of the largest output, in this process."""
    import _tools
    import MNN

    made = model(*MODELS[name])
    x = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"x": x})
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"model.{end}") for end in ("onnx", "mnn")]
        onnx.save(made, files[0])
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", files[0],
                           "--MNNModel", files[1], "--bizCode", "x"])
        manager = MNN.nn.create_runtime_manager(
            ({"backend": "CPU", "precision": "high", "numThread": 1},)
        )
        module = MNN.nn.load_module_from_file(files[1], ["x"], ["y"], runtime_manager=manager)
        given = MNN.expr.placeholder(list(SHAPE), MNN.expr.NCHW)
        given.write(x)
        found = np.array(module.forward(given).read())
    with np.errstate(all="ignore"):
        print(f"ERROR {np.abs(found - expected).max() / np.abs(expected).max():.3g}")


def main():
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, "
          f"onnx {onnx.__version__}, numpy {np.__version__}, MNN 3.6.1")
    found = {}
    for name in MODELS:
        errors = []
        for _ in range(5):
            done = subprocess.run(
                [sys.executable, __file__, name], capture_output=True, text=True, check=True
            )
            errors.append(float(done.stdout.rsplit("ERROR", 1)[1]))
        found[name] = np.array(errors)
        print(f"{name:25} relative errors {', '.join(f'{e:.2g}' for e in errors)}")
    wrong = [~(found[name] < 1e-3) for name in ("no value", "batch norm of a constant")]
    right = [found[name] < 1e-4 for name in ("value", "batch norm of no constant")]
    as_known = all(w.any() for w in wrong) and all(r.all() for r in right)
    sys.exit(0 if as_known else "The behaviour has changed.")


error(sys.argv[1]) if len(sys.argv) > 1 else main()
PYTHON
"$folder/venv/bin/python" "$folder/constants.py"
