#!/usr/bin/env bash
# A constant of one dimension behind a convolution lies along the width, as numpy's rules for ONNX's
# operators say. Where it is as long as there are channels, too, it is taken for one value a channel:
#
# - onnxslim 0.1.98 folds Mul by it into the convolution's channels (ONNX Runtime's values before and
#   after differ); Add is left right.
# - MNN 3.6.1 (converter, CPU) does that with Add; Mul is right.
#
# Nothing is reported. With a constant of shape (C, 1, 1), and where width and channels differ, all are right.
# Expected: broadcasting along the last dimension in each case.
#
# The script fails if one of the two becomes right, or another one wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxslim==0.1.98 MNN==3.6.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/width.py" <<'PYTHON'
import contextlib
import os
import sys
import tempfile
from importlib.metadata import version

import _tools
import MNN
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
CHANNELS = 6


def model(operator, width, shape):
    weights = {"w": RNG.normal(size=(CHANNELS, 3, 3, 3)), "k": RNG.normal(size=shape)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="conv"),
        helper.make_node(operator, ["a", "k"], ["y"], name="constant"),
    ]
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 5, width))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, CHANNELS, 5, width))],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def by_onnxruntime(made, x):
    return onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]


def by_mnn(made, x):
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/model.onnx", f"{folder}/model.mnn"
        onnx.save(made, source)
        with silent():
            _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "x"])
        manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": 1},))
        network = MNN.nn.load_module_from_file(target, ["x"], ["y"], runtime_manager=manager)
        given = MNN.expr.const(x, list(x.shape), MNN.expr.NCHW)
        (answer,) = network.forward([given])
        return np.array(MNN.expr.convert(answer, MNN.expr.NCHW).read())


@contextlib.contextmanager
def silent():
    """Keep what the converter prints, from C++, away."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def main():
    print(f"onnxslim {version('onnxslim')}, MNN {version('MNN')}, onnxruntime {onnxruntime.__version__}")
    same = True
    for operator, wrong in (("Mul", "onnxslim"), ("Add", "MNN")):
        for width, shape in ((CHANNELS, (CHANNELS,)), (CHANNELS, (CHANNELS, 1, 1)), (7, (7,))):
            x = RNG.normal(size=(1, 3, 5, width)).astype(np.float32)
            made = model(operator, width, shape)
            expected = by_onnxruntime(made, x)
            found = {"onnxslim": by_onnxruntime(onnxslim.slim(made), x), "MNN": by_mnn(made, x)}
            errors = {n: float(np.abs(y - expected).max()) for n, y in found.items()}
            print(
                f"{operator}, {CHANNELS} channels, width {width}, constant {shape}: "
                + ", ".join(f"{n} {e:.1e}" for n, e in errors.items())
            )
            one_dimension = (width, shape) == (CHANNELS, (CHANNELS,))
            same &= {n for n, e in errors.items() if e > 1e-3} == ({wrong} if one_dimension else set())
    if not same:
        sys.exit("Changed: see above.")
    print("A constant along the width is taken for one value a channel.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/width.py"
