"""A function that builds a network is a search space: recurrent networks for a signal of two leads.

It asks its trial as an Optuna objective would. Two functions of one file are compared in a list.
An optional argument is the number of trials.
"""

from __future__ import annotations

import sys
from typing import Any

import hwnas
from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    import torch
    from torch import Tensor, nn

LEADS, STEPS, CLASSES = 2, 64, 5


class Recurrent(nn.Module):
    """A recurrent layer over a convolution of the signal."""

    def __init__(self, kind: type[nn.Module], width: int, stride: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(LEADS, width, 5, stride), nn.ReLU())
        self.rnn = kind(width, width, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Map `(B, 2, T)` to `(B, 5)`."""
        out, _ = self.rnn(self.stem(x).transpose(1, 2))
        return self.head(torch.mean(out, dim=1))


def recurrent(trial: Any) -> nn.Module:
    """Build a recurrent network of the trial's choices."""
    kind = trial.suggest_categorical("kind", [nn.LSTM, nn.GRU])
    width = trial.suggest_int("width", 8, 32, step=8)
    return Recurrent(kind, width, trial.suggest_categorical("stride", [2, 4]))


def convolutional(trial: Any) -> nn.Module:
    """Build convolutions, as many as the trial says."""
    layers: list[nn.Module] = []
    before = LEADS
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width_{i}", 8, 32, step=8)
        layers += [nn.Conv1d(before, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU()]
        before = width
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(before, CLASSES)]
    return nn.Sequential(*layers, *head)


def main(trials: int = 30) -> None:
    """Print the networks that no other one beats in both score and latency."""
    with progress.running("searching") as line:
        front = hwnas.search(
            [recurrent, convolutional],
            input=(LEADS, STEPS),
            classes=CLASSES,
            objectives="synflow",
            costs="torch:cpu:latency:max_seconds=0.1",
            batch_size=8,
            trials=trials,
            report=line.count,
        )
    for member in front.members:
        print(" | ".join(f"{value:10.4g}" for value in member.values), "|", member.arch)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
