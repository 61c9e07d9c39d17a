#!/usr/bin/env bash
# PyTorch 2.13.0 with onnxscript 0.7.2: torch.onnx.export (dynamo=True) of an LSTM of which only the cell state
# is read states the shape (1, B, H) for the LSTM's output Y, which has (T, 1, B, H). ONNX's checker with shape
# inference (full_check=True) refuses the model, and ONNX Runtime 1.32.0 warns and runs it. Where the outputs or
# the hidden state are read, the shapes are right. Nothing is reported by the export.
# Expected: the shape of Y, or none, as nobody reads it.
#
# The script fails if the checker takes the model of the cell state, or refuses one of the others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/lstm.py" <<'PYTHON'
import contextlib
import io
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

warnings.simplefilter("ignore")
STEPS, FEATURES, HIDDEN = 7, 6, 5


class Reads(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.layer, self.what = nn.LSTM(FEATURES, HIDDEN), what

    def forward(self, x):
        y, (h, c) = self.layer(x)
        return {"outputs": y, "hidden state": h, "cell state": c}[self.what]


def said(what):
    torch.manual_seed(0)
    model, x = Reads(what).eval(), torch.randn(STEPS, 1, FEATURES)
    with contextlib.redirect_stdout(io.StringIO()):
        proto = torch.onnx.export(model, (x,), dynamo=True, verbose=False).model_proto
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(found, model(x).detach().numpy(), atol=1e-6)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.shape_inference.InferenceError as error:
        return f"refused: {str(error).strip()}"
    return "taken"


print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, onnx {onnx.__version__}, "
      f"onnxruntime {onnxruntime.__version__}")
told = {what: said(what) for what in ("outputs", "hidden state", "cell state")}
for what, text in told.items():
    print(f"{what:13} {text}")
known = told["cell state"].startswith("refused") and set(list(told.values())[:2]) == {"taken"}
sys.exit(0 if known else "The behaviour has changed.")
PYTHON
"$folder/venv/bin/python" "$folder/lstm.py"
