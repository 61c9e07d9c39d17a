#!/usr/bin/env bash
# PyTorch 2.13.0, `torch.utils.flop_counter.FlopCounterMode` on the CPU, beside attention and LSTMs, which are
# known to count 0. By hand and as it counts:
#
# - `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` in evaluation mode without gradients, as one counts:
#   0 for all of it, the linear layers too, since they run as one fused operator. In training mode, with
#   gradients or with `torch.backends.mha.set_fastpath_enabled(False)` the linear layers count.
# - the gradient of a convolution with groups by its weights counts as many times as there are groups: a training
#   step of a depthwise 3x3 of 144 channels is 146 times its forward, where it is 3 times, of MobileNet blocks
#   26 times. Without groups it is right.
#
# Nothing is reported.
# Expected: each product once, in whatever mode, or a line about operators that are not counted.
# The script fails if one of these counts becomes another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/flops.py" <<'PYTHON'
import sys
import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

warnings.filterwarnings("ignore")
TOKENS = torch.randn(2, 16, 32)
LINEAR = 2 * 2 * 16 * (4 * 32 * 32 + 2 * 32 * 64)  # four projections and two layers behind
PROJECTIONS = 2 * 2 * 16 * 4 * 32 * 32


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        return self.layer(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    """An inverted residual as in MobileNetV2, expanded 6 times."""

    def __init__(self, c):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c, 6 * c, 1), nn.ReLU6(),
            nn.Conv2d(6 * c, 6 * c, 3, padding=1, groups=6 * c), nn.ReLU6(),
            nn.Conv2d(6 * c, c, 1),
        )  # fmt: skip

    def forward(self, x):
        return x + self.layers(x)


def forward(network, x):
    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops()


def step(network, x):
    with FlopCounterMode(display=False) as counter:
        network(x).sum().backward()
    return counter.get_total_flops()


def main():
    print(f"torch {torch.__version__}")
    same = True
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0, batch_first=True)
    for name, network, linear in (("encoder layer", layer, LINEAR), ("attention", Attention(), PROJECTIONS)):
        counts = {"training": forward(network.train(), TOKENS), "evaluation": forward(network.eval(), TOKENS)}
        with torch.no_grad():
            counts["evaluation, no_grad"] = forward(network, TOKENS)
            torch.backends.mha.set_fastpath_enabled(False)
            counts["the same, no fast path"] = forward(network, TOKENS)
            torch.backends.mha.set_fastpath_enabled(True)
        print(f"{name}, linear layers by hand {linear}: {counts}")
        same &= list(counts.values()) == [linear, linear, 0, linear]
    image = torch.randn(1, 144, 28, 28)
    for name, network, x, times in (
        ("convolution", nn.Conv2d(144, 144, 3, padding=1), image, 3),
        ("transposed convolution", nn.ConvTranspose2d(144, 144, 3, padding=1), image, 3),
        ("convolution, 4 groups", nn.Conv2d(144, 144, 3, padding=1, groups=4), image, 2 + 4),
        ("transposed, 4 groups", nn.ConvTranspose2d(144, 144, 3, padding=1, groups=4), image, 2 + 4),
        ("depthwise convolution", nn.Conv2d(144, 144, 3, padding=1, groups=144), image, 2 + 144),
        ("3 MobileNet blocks", nn.Sequential(*[Block(24) for _ in range(3)]), image[:, :24], 25.6),
    ):
        once = forward(network, x)
        found = step(network, x.clone().requires_grad_()) / once
        print(f"{name}: forward {once}, forward and backward {found:.1f} times that; by hand 3 times")
        same &= round(found, 1) == times
    if not same:
        sys.exit("Changed: see above.")
    print("Fused layers count nothing, gradients of groups too much.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/flops.py"
