#!/usr/bin/env bash
# PyTorch 2.13.0 with onnxscript 0.7.2, `torch.onnx.export` (dynamo, its default): a number of 1e-8 or less that
# is added or subtracted is left out of the model, without a word. Its optimiser removes `x + 0`, and takes
# all scalars within 1e-8 of 0 for 0 (and those within 1e-5 of 1 for 1, as factors). So the terms that keep
# networks from dividing by 0 are lost: the norms of pixels of image generators (1e-8), means of masked tokens,
# logarithms of probabilities, and PyTorch's own `rms_norm` with a small eps give NaN or infinities where PyTorch
# gives numbers. With 1e-7, with `optimize=False`, in an eps that is an attribute, as that of `layer_norm`, and as
# a bound of `clamp`, they are kept.
#
# Expected: a term is removed if it is 0.
# The script fails if one of the terms is kept that is lost here, or another one lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/terms.py" <<'PYTHON'
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
DARK = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])  # one pixel of which all channels are 0
SURE = torch.tensor([[0.0, 200.0], [1.0, 2.0]])  # one row whose first probability is 0


def pixel_norm(term):
    return lambda x: x * torch.rsqrt(x.square().mean(1, keepdim=True) + term)


def masked_mean(x):
    mask = (x > 0).float()
    return (x * mask).sum(1) / (mask.sum(1) + 1e-9)


def entropy(x):
    p = F.softmax(x, 1)
    return -(p * torch.log(p + 1e-12)).sum(1)


# What is exported, its input, whether the optimiser is left in, whether the term is lost.
CASES = [
    ("pixel norm, 1e-8", pixel_norm(1e-8), DARK, True, True),
    ("pixel norm, 1e-7", pixel_norm(1e-7), DARK, True, False),
    ("pixel norm, 1e-8, optimize=False", pixel_norm(1e-8), DARK, False, False),
    ("mean of masked tokens, 1e-9", masked_mean, DARK, True, True),
    ("entropy, 1e-12", entropy, SURE, True, True),
    ("division by a norm, 1e-8", lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-8), DARK, True, True),
    ("F.rms_norm, 1e-12", lambda x: F.rms_norm(x, (3,), eps=1e-12), DARK, True, True),
    ("F.layer_norm, 1e-12", lambda x: F.layer_norm(x, (3,), eps=1e-12), DARK, True, False),
    ("F.normalize, 1e-12", lambda x: F.normalize(x, dim=1), DARK, True, False),
]  # fmt: skip


class Network(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def main():
    print(f"torch {torch.__version__}, onnxscript {onnxscript.__version__}")
    same = True
    for name, function, x, optimize, lost in CASES:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            program = torch.onnx.export(Network(function), (x,), verbose=False, optimize=optimize)
        model = program.model_proto
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        expected = function(x).numpy()
        kept = bool(np.allclose(found, expected, rtol=1e-3, atol=1e-5))
        told = f"PyTorch {expected[0].round(3)}, exported {found[0].round(3)}"
        print(f"{name}: {told}, other rows {found[1].round(3)}")
        same &= kept != lost
    if not same:
        sys.exit("Changed: see above.")
    print("Terms up to 1e-8 are lost.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/terms.py"
