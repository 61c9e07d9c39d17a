#!/usr/bin/env bash
# Four counters of multiply-accumulates (MACs), with torch 2.13.0: thop 0.1.1.post2209072238, ptflops 0.7.5,
# torchinfo 1.8.0, torchprofile 0.1.0. Beside what is known of them (batch norms, pools, attention, LSTMs),
# and without a word:
#
# - one convolution in two blocks, as in siamese networks and shared heads: thop counts its
#   two runs as eight, 4 times as many, and its parameters twice; ptflops counts them as four (and
#   warns of a variable). A convolution that one block runs twice is right.
# - transposed convolutions: thop and torchinfo count a kernel for each position of the output, 4.3 times as
#   many for 3x3 with stride 2; torchprofile does so and leaves out the groups, 17 times with 4 groups.
# - `torch.nn.functional.conv2d`: 0 for thop and ptflops, its 576 weights for torchinfo.
# - a linear layer on 50 tokens: one token for torchinfo. For thop a network that is one layer has no parameters.
#
# By hand, and as torch's own FlopCounterMode: each multiplication with a weight, as often as it is run.
# The script fails if one of these counts becomes another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# thop needs a setuptools that has distutils.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 setuptools==81.0.0 \
  thop==0.1.1.post2209072238 ptflops==0.7.5 torchinfo==1.8.0
# Its requirement of torchvision is not needed.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps torchprofile==0.1.0
cat > "$folder/counts.py" <<'PYTHON'
import copy
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import ptflops  # noqa: E402
import thop  # noqa: E402
import torch  # noqa: E402
import torchinfo  # noqa: E402
import torchprofile  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


class Block(nn.Module):
    def __init__(self, layer, times=1):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        for _ in range(self.times):
            x = self.layer(x)
        return x


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 8, 3, 3))

    def forward(self, x):
        return nn.functional.conv2d(x, self.weight, padding=1)


def conv():
    return nn.Conv2d(8, 8, 3, padding=1, bias=False)


def up(out, groups):
    return nn.Sequential(nn.ConvTranspose2d(8, out, 3, 2, groups=groups, bias=False))


shared = conv()
IMAGE, ONE = (1, 8, 12, 12), 8 * 8 * 9 * 144
# Network, input, MACs by hand; those of thop, ptflops, torchinfo and torchprofile; parameters of thop.
CASES = {
    "one block runs it twice": (Block(conv(), 2), IMAGE, 2 * ONE, *[2 * ONE] * 4, 576),
    "two blocks share it": (
        nn.Sequential(Block(shared), Block(shared)),
        IMAGE, 2 * ONE, 8 * ONE, 4 * ONE, 2 * ONE, 2 * ONE, 2 * 576,
    ),
    "transposed": (up(8, 1), IMAGE, ONE, 360000, ONE, 360000, 360000, 576),
    "transposed, 4 groups": (up(16, 4), IMAGE, ONE // 2, 180000, ONE // 2, 180000, 720000, 288),
    "functional": (nn.Sequential(Functional()), IMAGE, ONE, 0, 0, 576, ONE, 0),
    "linear on 50 tokens": (nn.Sequential(nn.Linear(8, 16, bias=False)), (1, 50, 8), 6400, 6400, 6400, 128, 6400, 128),
    "one layer": (conv(), IMAGE, ONE, ONE, ONE, ONE, ONE, 0),
}  # fmt: skip


def macs(network, shape):
    x = torch.zeros(shape)
    by_thop, parameters = thop.profile(copy.deepcopy(network), (x,), verbose=False)
    return (
        int(by_thop),
        int(
            ptflops.get_model_complexity_info(
                copy.deepcopy(network), shape[1:], as_strings=False,
                print_per_layer_stat=False, verbose=False,
            )[0]
        ),
        int(torchinfo.summary(copy.deepcopy(network), input_data=x, verbose=0).total_mult_adds),
        int(torchprofile.profile_macs(copy.deepcopy(network), x)),
        int(parameters),
    )  # fmt: skip


def main():
    names = ["thop", "ptflops", "torchinfo", "torchprofile"]
    print(", ".join(f"{name} {version(name)}" for name in [*names, "torch"]))
    same = True
    for what, (network, shape, by_hand, *expected) in CASES.items():
        network.eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(shape))
        found = macs(network, shape)
        held = sum(p.numel() for p in network.parameters())
        told = ", ".join(f"{n} x {f / by_hand:.3g}" for n, f in zip(names, found))
        print(f"{what}: {by_hand} MACs; {told}; {found[-1]} of {held} parameters by thop")
        same &= (*found,) == (*expected,) and counter.get_total_flops() == 2 * by_hand
    if not same:
        sys.exit("Changed: see above.")
    print("Shared, transposed and functional layers are counted several times, or not at all.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/counts.py"
