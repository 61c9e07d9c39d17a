#!/usr/bin/env bash
# PyTorch 2.13.0 with onnxscript 0.7.2, `torch.onnx.export` (dynamo, its default): logarithms of exponentials are
# written as just that, so that in float32 they are infinite from about 88 on, where PyTorch is right, without a word:
#
# - `logsigmoid` (and by it `binary_cross_entropy_with_logits`), as log(sigmoid(x)): -inf below -88.
# - `logaddexp` and `logaddexp2`, as log(exp(x) + exp(y)): inf above 88 and 127, -inf below.
# - `logcumsumexp`: -inf for what stands 104 below the largest number of its row, though it comes before it.
#
# Logits of 100, and sums of logarithms over the steps of a sequence, are usual. `logsumexp`, `log_softmax` and
# `softplus` are right.
# Expected: PyTorch's values, as by Softplus, which ONNX has.
# The script fails if one of the first becomes right, or one of the others wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/logarithms.py" <<'PYTHON'
import contextlib
import io
import logging
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore")
logging.disable(logging.ERROR)
NUMBERS = torch.tensor([[-200.0, -90.0, -5.0, 0.0, 3.0, 90.0]])
CASES = [
    ("logsigmoid", F.logsigmoid, True),
    ("binary_cross_entropy_with_logits",
     lambda x: F.binary_cross_entropy_with_logits(x, (x > 0).float(), reduction="none"), True),
    ("logaddexp", lambda x: torch.logaddexp(x, x), True),
    ("logaddexp2", lambda x: torch.logaddexp2(2 * x, 2 * x), True),
    ("logcumsumexp", lambda x: x.logcumsumexp(1), True),
    ("logsumexp", lambda x: x.logsumexp(1), False),
    ("log_softmax", lambda x: F.log_softmax(x, 1), False),
    ("softplus", F.softplus, False),
]  # fmt: skip


class Network(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def main():
    print(f"torch {torch.__version__}, onnxscript {onnxscript.__version__}, for {NUMBERS.tolist()[0]}:")
    same = True
    for name, function, broken in CASES:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = torch.onnx.export(Network(function), (NUMBERS,), verbose=False).model_proto
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (found,) = session.run(None, {session.get_inputs()[0].name: NUMBERS.numpy()})
        expected = function(NUMBERS).numpy()
        assert np.isfinite(expected).all()
        print(f"{name}: PyTorch {expected.ravel().round(2)}, exported {found.ravel().round(2)}")
        same &= bool(np.isfinite(found).all()) != broken
        same &= broken or bool(np.allclose(found, expected, rtol=1e-4, atol=1e-4))
    if not same:
        sys.exit("Changed: see above.")
    print("Logarithms of exponentials are infinite.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/logarithms.py"
