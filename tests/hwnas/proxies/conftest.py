"""Networks as users write them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """A block that starts with a ReLU in place and calls the other one as a function."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.shortcut = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        residual: Tensor = self.conv2(torch.relu_(self.bn(self.conv1(x))))
        maps: Tensor = F.relu(residual + 1) + self.shortcut(x)
        return maps


class SmallResNet(nn.Module):
    """Stem of top-level layers, three residual blocks, global pooling."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.layers = nn.Sequential(Residual(4, 4, 1), Residual(4, 6, 2), Residual(6, 6, 1))
        self.fc = nn.Linear(6, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.bn(self.conv(x)))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class Mlp(nn.Module):
    """Flattens by `view`, which only works on the contiguous layout."""

    def __init__(self, inputs: int = 48, num_classes: int = 3) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, 16)
        self.out = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(F.relu(self.hidden(x.view(len(x), -1))))
        return logits


@pytest.fixture
def resnet() -> nn.Module:
    torch.manual_seed(7)
    return SmallResNet()


@pytest.fixture
def mlp() -> nn.Module:
    torch.manual_seed(7)
    return Mlp()
