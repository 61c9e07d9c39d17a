#!/usr/bin/env bash
# PyTorch 2.13.0 with onnxscript 0.7.2, `torch.onnx.export` (dynamo, its default): `torch.clamp` of real numbers
# between a whole number and one that is not, as x.clamp(0, 0.5) or x.clamp(0.5, 1), is refused ("Cannot find a
# compatible OpOverload for aten.clamp"). Two whole bounds, and two that are not, are a Clip.
#
# Expected: a Clip. The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
cat > "$folder/bounds.py" <<'PYTHON'
import logging
import sys
import warnings

import onnxscript
import torch

warnings.filterwarnings("ignore")
logging.disable(logging.ERROR)
CASES = [
    ((0, 0.5), "refused"),
    ((0.5, 1), "refused"),
    ((0, 1), "Clip"),
    ((0.0, 0.5), "Clip"),
    ((0.0, 1.0), "Clip"),
]


class Clamped(torch.nn.Module):
    def __init__(self, bounds):
        super().__init__()
        self.bounds = bounds

    def forward(self, x):
        return torch.clamp(x, *self.bounds)


def written(bounds):
    try:
        program = torch.onnx.export(
            Clamped(bounds), (torch.zeros(1, 4),), dynamo=True, verbose=False, optimize=True
        )
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        return "refused", str(error).splitlines()[0]
    return ", ".join(node.op_type for node in program.model_proto.graph.node), ""


def main():
    print(f"result: torch {torch.__version__}, onnxscript {onnxscript.__version__}")
    same = True
    for bounds, known in CASES:
        found, why = written(bounds)
        print(f"result: clamp between {bounds[0]} and {bounds[1]}: {found} {why}")
        same &= found == known
    sys.exit(not same)


main()
PYTHON
"$folder/venv/bin/python" "$folder/bounds.py" 2> /dev/null | grep '^result'
