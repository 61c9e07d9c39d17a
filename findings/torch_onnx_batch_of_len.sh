#!/usr/bin/env bash
# PyTorch 2.13.0 with onnxscript 0.7.2: torch.onnx.export (dynamo=True) of a network whose code takes the number
# of its inputs by len(x), or as int(x.shape[0]), with dynamic_shapes that leave that number free
# ({0: torch.export.Dim("batch")}), gives a model whose input has the number of the example, and says nothing.
# ONNX Runtime 1.32.0 refuses any other number. With x.shape[0] or x.size(0) the number stays free.
# Expected: what torch.export.export says of the same network and shapes, an error that names the constraint
# ("batch" was marked dynamic, but the code made it a constant).
#
# The script fails if the export raises, or leaves the number free.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/batch.py" <<'PYTHON'
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
WAYS = {
    "x.shape[0]": lambda x: x.shape[0],
    "x.size(0)": lambda x: x.size(0),
    "len(x)": len,
    "int(x.shape[0])": lambda x: int(x.shape[0]),
}


class Flat(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.layer, self.way = nn.Conv2d(3, 4, 3), way

    def forward(self, x):
        return self.layer(x).reshape(WAYS[self.way](x), -1)


def exported_by_torch_export(model, x, shapes):
    try:
        torch.export.export(model, (x,), dynamic_shapes=shapes)
    except Exception as error:
        return f"raises {type(error).__name__}"
    return "exports"


def looked_at(way):
    model, x = Flat(way).eval(), torch.zeros(2, 3, 8, 8)
    shapes = ({0: torch.export.Dim("batch")},)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        proto = torch.onnx.export(
            model, (x,), dynamic_shapes=shapes, dynamo=True, verbose=False
        ).model_proto
        other = exported_by_torch_export(model, x, shapes)
    dim = proto.graph.input[0].type.tensor_type.shape.dim[0]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    try:
        session.run(None, {session.get_inputs()[0].name: np.zeros((5, 3, 8, 8), np.float32)})
        ran = "runs five"
    except Exception as error:
        ran = f"five: {type(error).__name__}"
    return dim.dim_param or dim.dim_value, ran, other


print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, onnx {onnx.__version__}, "
      f"onnxruntime {onnxruntime.__version__}")
found = {way: looked_at(way) for way in WAYS}
for way, (batch, ran, other) in found.items():
    print(f"{way:16} batch of the ONNX model: {batch!s:6} {ran:24} torch.export.export {other}")
free = [isinstance(batch, str) for batch, _, _ in found.values()]
fixed = [found[way][0] == 2 and found[way][2].startswith("raises") for way in list(WAYS)[2:]]
sys.exit(0 if free == [True, True, False, False] and all(fixed) else "The behaviour has changed.")
PYTHON
"$folder/venv/bin/python" "$folder/batch.py"
