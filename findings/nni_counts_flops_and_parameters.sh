#!/usr/bin/env bash
# NNI 3.0, `nni.compression.utils.counter.count_flops_params`, whose values are multiply-accumulates and
# parameters of a network. By hand and by NNI, with torch 2.13.0:
#
# - transposed convolutions: a kernel is counted for each position of the output, where it is one of the
#   input: 4.25 times as many for 3x3 with stride 2;
# - a linear layer on (batch, tokens, features): one token of them; any layer: one image of the batch;
# - attention (nn.MultiheadAttention): 0 FLOPs and 0 parameters;
# - parameters of normalisations and those that a network holds itself: not counted.
#
# Convolutions with groups, dilations and strides are right. Nothing is said about what is left out.
# Expected: the number of parameters is that of `parameters()`, and FLOPs are counted or named as not.
# The script fails if one of these counts becomes another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# NNI needs a setuptools that has pkg_resources.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 nni==3.0 setuptools==81.0.0
cat > "$folder/counts.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import torch
from torch import nn

warnings.simplefilter("ignore")
from nni.compression.utils.counter import count_flops_params  # noqa: E402


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.scale = nn.Conv2d(8, 8, 1), nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x):
        return self.scale * self.conv(x)


# Name, network, input, multiply-accumulates by hand, both counts of NNI.
CASES = [
    ("convolution", nn.Conv2d(8, 16, 3, padding=1), (1, 8, 16, 16), 294912, 294912, 1168),
    ("with groups", nn.Conv2d(8, 16, 3, padding=1, groups=4), (1, 8, 16, 16), 73728, 73728, 304),
    ("transposed convolution", nn.ConvTranspose2d(8, 16, 3, stride=2), (1, 8, 16, 16), 294912, 1254528, 1168),
    ("linear layer on 10 tokens", nn.Linear(16, 32), (1, 10, 16), 5120, 512, 544),
    ("convolution on 4 images", nn.Conv2d(8, 8, 3), (4, 8, 16, 16), 451584, 112896, 584),
    ("attention", Attention(), (1, 10, 16), 13440, 0, 0),
    ("convolution and batch norm", nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)), (1, 8, 16, 16), 16384, 16384, 72),
    ("a parameter of its own", Scaled(), (1, 8, 16, 16), 16384, 16384, 72),
]  # fmt: skip


def main():
    print(f"nni {version('nni')}, torch {torch.__version__}")
    same = True
    for name, network, shape, by_hand, flops, parameters in CASES:
        found = count_flops_params(network, torch.zeros(shape), verbose=False)[:2]
        held = sum(p.numel() for p in network.parameters())
        print(f"{name}: {found[0]} of {by_hand} multiply-accumulates, {found[1]} of {held} parameters")
        same &= (int(found[0]), int(found[1])) == (flops, parameters)
    if not same:
        sys.exit("Changed: see above.")
    print("Counts of transposed convolutions, tokens, batches, attention and own parameters are others.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/counts.py"
