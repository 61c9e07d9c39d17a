#!/usr/bin/env bash
# PyTorch 2.13.0, `torch.onnx.export` (dynamo, its default): three options of valid modules do not reach the
# model. It passes ONNX's checker, and nothing is reported; ONNX Runtime 1.32.0 and ONNX's reference compute
# the same other values.
#
# - `scatter_reduce(..., "mean")`, by which nodes of a graph network average their messages, becomes a
#   ScatterElements without a reduction: the last message alone is kept. "sum" and "amax" are right.
# - `avg_pool2d(divisor_override=d)`: d is left out, the pool divides by its size.
# - `interpolate(scale_factor=f, antialias=True)` is written by its size, so the factor becomes that of the
#   rounded sizes, 7/12 for .6. It is right by size, and without antialias by its factor.
#
# Expected: the module's values, or an error.
# The script fails if one of them is right, or one of the others is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/options.py" <<'PYTHON'
import contextlib
import io
import logging
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore")
logging.disable(logging.ERROR)
MESSAGES = torch.arange(12.0).reshape(2, 6)
IMAGE = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32))
TO = torch.tensor([[0, 2, 2, 0, 2, 1], [1, 1, 1, 1, 0, 2]])


def joined(how):
    return lambda x: torch.zeros(2, 3).scatter_reduce(1, TO, x, how, include_self=False)


CASES = [
    ("scatter_reduce mean", joined("mean"), MESSAGES, True),
    ("scatter_reduce sum", joined("sum"), MESSAGES, False),
    ("scatter_reduce amax", joined("amax"), MESSAGES, False),
    ("average pool, divisor 1", lambda x: F.avg_pool2d(x, 2, divisor_override=1), IMAGE, True),
    ("average pool", lambda x: F.avg_pool2d(x, 2), IMAGE, False),
    ("antialiased resize by .6",
     lambda x: F.interpolate(x, scale_factor=0.6, mode="bilinear", antialias=True), IMAGE, True),
    ("antialiased resize to 7 x 7",
     lambda x: F.interpolate(x, size=(7, 7), mode="bilinear", antialias=True), IMAGE, False),
    ("resize by .6", lambda x: F.interpolate(x, scale_factor=0.6, mode="bilinear"), IMAGE, False),
]  # fmt: skip


class Network(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def main():
    print(f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    same = True
    for name, function, x, broken in CASES:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = torch.onnx.export(Network(function), (x,), verbose=False).model_proto
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        feed = {session.get_inputs()[0].name: x.numpy()}
        (by_ort,) = session.run(None, feed)
        (by_onnx,) = ReferenceEvaluator(model).run(None, feed)
        expected = function(x).numpy()
        scale = np.abs(expected).max()
        error, apart = np.abs(by_ort - expected).max() / scale, np.abs(by_ort - by_onnx).max() / scale
        print(f"{name}: off by {error:.2g} of the largest value, ONNX's reference from ONNX Runtime by {apart:.2g}")
        same &= bool(apart < 1e-4) and bool(error > 0.05 if broken else error < 1e-4)
    if not same:
        sys.exit("Changed: see above.")
    print("Three options do not reach the model.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/options.py"
