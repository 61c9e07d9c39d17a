"""Kernels of a few small networks of one's own, and networks of other widths made of them.

Five families of networks, each at several widths: squeeze and excitation, a transformer block,
grouped and transposed convolutions, convolutions of signals, a bidirectional LSTM. A predictor is
built from some widths, as `hwnas predict build --onnx FILES` does, and predicts others, which are
measured twice: two between the widths that it knows, and one beyond them.

    python benchmarks/predictors/own_kernels.py [--max-seconds 300] [--runtime onnxruntime]
        [--precision int8] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import torch
from torch import nn

from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.onnx_export.export import export_onnx
from hwnas.tasks.task import TensorSpec
from hwnas_predictors.kernels.predictor import KernelPredictor
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer

IMAGE, SIGNAL, SEQUENCE = (3, 32, 32), (2, 128), (20, 12)


class Squeezed(nn.Module):
    """Convolutions whose channels are weighed by squeeze and excitation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.less, self.more = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer (B, 3, H, W) images."""
        x = torch.relu(self.conv(nn.functional.silu(self.stem(x))))
        gate = self.more(torch.relu(self.less(x.mean((2, 3), keepdim=True))))
        answer: torch.Tensor = self.head((x * torch.sigmoid(gate)).mean((2, 3)))
        return answer


class Attending(nn.Module):
    """One block of a transformer on patches of 4 by 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.parts, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer (B, 3, H, W) images."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        query, key, value = self.parts(self.norms[0](x)).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(1, 2) * query.shape[-1] ** -0.5, -1)
        x = x + self.joined(weights @ value)
        x = x + self.narrow(nn.functional.gelu(self.wide(self.norms[1](x))))
        answer: torch.Tensor = self.head(x.mean(1))
        return answer


class Grouped(nn.Module):
    """Grouped, transposed and dilated convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, 2, 1, groups=4), nn.ELU()),
            *(nn.ConvTranspose2d(width, width // 2, 4, 2, 1), nn.PReLU()),
            *(nn.Conv2d(width // 2, width, 3, 1, 2, dilation=2), nn.MaxPool2d(2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer (B, 3, H, W) images."""
        answer: torch.Tensor = self.layers(x)
        return answer


class Signal(nn.Module):
    """Convolutions of signals."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(2, width, 7, 2, 3), nn.ReLU()),
            *(nn.Conv1d(width, 2 * width, 5, 2, 2), nn.BatchNorm1d(2 * width), nn.Tanh()),
            *(nn.Conv1d(2 * width, 2 * width, 3, 1, 1, groups=2 * width), nn.MaxPool1d(2)),
        )
        self.head = nn.Linear(2 * width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer (B, 2, T) signals."""
        answer: torch.Tensor = self.head(self.layers(x).mean(2))
        return answer


class Recurrent(nn.Module):
    """An LSTM in both directions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(SEQUENCE[1], width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer (B, T, 12) sequences."""
        answer: torch.Tensor = self.head(self.lstm(x)[0][:, -1])
        return answer


Inputs = tuple[int, ...] | TensorSpec
FAMILIES: Mapping[str, tuple[Callable[[int], nn.Module], Inputs, Sequence[int], Sequence[int]]] = {
    "squeezed": (Squeezed, IMAGE, (16, 32, 48, 56), (24, 40, 80)),
    "attending": (Attending, IMAGE, (32, 40, 64, 96), (48, 80, 144)),
    "grouped": (Grouped, IMAGE, (16, 24, 40, 64), (32, 48, 96)),
    "signal": (Signal, TensorSpec(SIGNAL, "signal"), (16, 32, 40, 64), (24, 48, 96)),
    "recurrent": (Recurrent, TensorSpec(SEQUENCE, "signal"), (16, 32, 40, 64), (24, 48, 96)),
}
"""Networks by width, what they get, the widths that are known, and those that are not."""


def network(family: str, width: int, seed: int) -> onnx.ModelProto:
    make, given, _, _ = FAMILIES[family]
    torch.manual_seed(seed)
    return export_onnx(make(width), given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-seconds", type=float, default=300.0, help="time of the build")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    target = Target(arguments.runtime, arguments.precision)
    print(f"{target}; {host_fingerprint(target.made().packages)}; load {os.getloadavg()[0]:.1f}")
    known = [network(f, width, arguments.seed) for f, of in FAMILIES.items() for width in of[2]]
    with ResultCache.default() as cache:
        made = KernelPredictor.build(
            [],
            known,
            cache=cache,
            max_seconds=arguments.max_seconds,
            seed=arguments.seed,
            runtime=arguments.runtime,
            precision=arguments.precision,
        )
    own = np.abs(made.predicted_ms / made.measured_ms - 1)
    print(
        f"{len(own)} known networks timed, {made.untimed} not; within 10 %: "
        f"{np.mean(own <= 0.1):.2f}"
    )
    asked = [(f, width) for f, of in FAMILIES.items() for width in of[3]]
    models = [network(f, width, arguments.seed) for f, width in asked]
    first, again = (
        np.array([WholeTimer(target, 1.0, ResultCache(None))(model) for model in models])
        for _ in range(2)
    )
    truth = np.sqrt(first * again)
    predicted = np.array([made.predictor.predict_model(model) for model in models])
    for (family, width), ms, ratio in zip(asked, truth, predicted / truth, strict=True):
        print(f"  {family} {width}: {ms:.4f} ms, predicted / measured {ratio:.2f}")
    near = np.abs(predicted / truth - 1) <= 0.1
    beyond = np.array([width == FAMILIES[family][3][-1] for family, width in asked])
    print(
        f"within 10 %: between known widths {near[~beyond].sum()} of {np.sum(~beyond)}, beyond "
        f"them {near[beyond].sum()} of {beyond.sum()}; measured again "
        f"{np.mean(np.abs(again / first - 1) <= 0.1):.2f}; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
