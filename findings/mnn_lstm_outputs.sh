#!/usr/bin/env bash
# MNN 3.6.1: its converter of ONNX models, with its own settings, writes where it must not for an LSTM that
# names only the output Y, as exporters do where the last states are not used: the process dies
# (free(): invalid pointer, std::bad_alloc or a segmentation fault, another one in each model). Y_h and Y_c are
# optional in the standard. With all three outputs named the converted model is right, and so it is with
# --useOriginRNNImpl; a GRU with Y alone is right, too. ONNX's checker and ONNX Runtime 1.32.0 take all models.
# Expected: outputs that are not named are not written.
#
# The script fails if an LSTM with Y alone is converted, or one of the others is not right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  MNN==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/lstm.py" <<'PYTHON'
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

STEPS, IMAGES, FEATURES, HIDDEN = 7, 1, 6, 16
GATES = {"LSTM": 4, "GRU": 3}
# Operator, directions, names of the outputs, options of the converter.
CASES = {
    "LSTM, Y": ("LSTM", 1, ("y",), ()),
    "LSTM, Y, two directions": ("LSTM", 2, ("y",), ()),
    "LSTM, Y, Y_h, Y_c": ("LSTM", 1, ("y", "h", "c"), ()),
    "LSTM, Y, original": ("LSTM", 1, ("y",), ("--useOriginRNNImpl",)),
    "GRU, Y": ("GRU", 1, ("y",), ()),
}
DIES = ("LSTM, Y", "LSTM, Y, two directions")


def model(operator, directions, outputs):
    rng, gates = np.random.default_rng(0), GATES[operator] * HIDDEN
    shapes = {
        "w": (directions, gates, FEATURES), "r": (directions, gates, HIDDEN),
        "b": (directions, 2 * gates),
    }
    tensors = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    settings = {"hidden_size": HIDDEN, "direction": "bidirectional" if directions == 2 else "forward"}
    if operator == "GRU":
        settings["linear_before_reset"] = 1
    node = helper.make_node(operator, ["x", "w", "r", "b"], outputs, **settings)
    given = helper.make_tensor_value_info("x", 1, (STEPS, IMAGES, FEATURES))
    answer = helper.make_tensor_value_info("y", 1, (STEPS, directions, IMAGES, HIDDEN))
    graph = helper.make_graph([node], "recurrent", [given], [answer], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def error(name):
    """Largest difference from ONNX Runtime as a share of the largest output, in this process."""
    import _tools
    import MNN

    operator, directions, outputs, options = CASES[name]
    made = model(operator, directions, outputs)
    x = np.random.default_rng(1).normal(size=(STEPS, IMAGES, FEATURES)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(["y"], {"x": x})
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"model.{end}") for end in ("onnx", "mnn")]
        onnx.save(made, files[0])
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", files[0],
                           "--MNNModel", files[1], "--bizCode", "x", *options])
        manager = MNN.nn.create_runtime_manager(
            ({"backend": "CPU", "precision": "high", "numThread": 1},)
        )
        module = MNN.nn.load_module_from_file(files[1], ["x"], ["y"], runtime_manager=manager)
        given = MNN.expr.placeholder(list(x.shape), MNN.expr.NCHW)
        given.write(x)
        found = np.array(module.forward(given).read())
    print(f"ERROR {np.abs(found - expected).max() / np.abs(expected).max():.3g}")


def main():
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, "
          f"onnx {onnx.__version__}, numpy {np.__version__}, MNN 3.6.1")
    as_known = True
    for name in CASES:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
        dies = done.returncode < 0
        said = "dies" if dies else f"relative error {done.stdout.rsplit('ERROR', 1)[1].strip()}"
        print(f"{name:25} {said}, exit code {done.returncode}")
        right = done.returncode == 0 and float(done.stdout.rsplit("ERROR", 1)[1]) < 1e-5
        as_known &= dies if name in DIES else right
    sys.exit(0 if as_known else "The behaviour has changed.")


error(sys.argv[1]) if len(sys.argv) > 1 else main()
PYTHON
"$folder/venv/bin/python" "$folder/lstm.py"
