"""The proof of written code, by code that is written here by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.torch_source.expressions import NotWritableError
from hwnas.torch_source.proof import check_source

CODE = """
from torch import nn


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        y = self.fc(x)
        return {}


def build():
    return Judge()
"""


class Judge(nn.Module):
    """Gives numbers, classes, truths and none of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        y = self.fc(x)
        return y, y.argmax(1), y > 0, y[:, :0]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("y, y.argmax(1), y > 0, y[:, :0]", None),
        ("y, y.argmax(1), y < 0, y[:, :0]", "differs by 1"),
        ("y, y.argmax(1).int(), y > 0, y[:, :0]", "other outputs"),
        ("y, y.argmax(1), y > 0, y[:0]", "other outputs"),
        ("y, y.argmax(1), y > 0", "other outputs"),
        ("y * 1.1, y.argmax(1), y > 0, y[:, :0]", "differs by"),
        ("y * float('nan'), y.argmax(1), y > 0, y[:, :0]", "differs by nan"),
    ],
)
def test_outputs_of_every_type_are_compared(returned: str, reason: str | None) -> None:
    code, x = CODE.format(f"({returned})"), torch.randn(4, 3)
    if reason is None:
        assert check_source(code, Judge(), x) == 0.0
        return
    with pytest.raises(NotWritableError, match=reason):
        check_source(code, Judge(), x)
