"""A space of a function whose widths exist where the depth allows them."""

from __future__ import annotations

from typing import Any

from torch import nn

from hwnas.spaces.functions import FunctionSpace


def some_layers(trial: Any) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    width = 16
    for i in range(trial.suggest_int("depth", 1, 3)):
        wider = trial.suggest_int(f"width_{i}", 4, 32, step=4)
        layers.append(nn.Linear(width, wider))
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, 2))


def made_space() -> FunctionSpace:
    return FunctionSpace(some_layers, input=(1, 4, 4), classes=2)
