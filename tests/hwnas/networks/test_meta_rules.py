from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from hwnas.networks.meta_rules import shapes_of

aten = torch.ops.aten


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def convolution(x: Tensor, weight: Tensor, *settings: Any) -> tuple[Any, ...]:
    return aten.convolution.default, (x, weight, None, *settings, False, [0, 0])


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "relu": (aten.relu.default, (meta(2, 3, 5, 4),)),
    "zeros": (aten.zeros_like.default, (meta(2, 3, 5, 4),)),
    "relu of rows": (aten.relu.default, (meta(2, 3),)),
    "relu6": (aten.hardtanh.default, (meta(2, 3, 5, 4), 0.0, 6.0)),
    "mean": (aten.mean.dim, (meta(2, 3, 5, 4), [-1, -2], True)),
    "mean of rows": (aten.mean.dim, (meta(2, 3, 5, 4), [2, 3])),
    "sum": (aten.add.Tensor, (meta(2, 3, 5, 4), meta(2, 3, 5, 4))),
    "gate": (aten.mul.Tensor, (meta(2, 3, 1, 1), meta(2, 3, 5, 4))),
    "linear": (aten.addmm.default, (meta(4), meta(2, 3), meta(4, 3).T)),
    "pool": (aten.avg_pool2d.default, (meta(2, 3, 9, 8), [3, 2], [2, 1], [1, 0], False, False)),
    "pool by default": (aten.avg_pool2d.default, (meta(2, 3, 9, 8), [2, 2])),
    "batch norm": (
        aten.native_batch_norm.default,
        (meta(2, 3, 5, 4), *(meta(3) for _ in range(4)), False, 0.1, 1e-5),
    ),
    "convolution": convolution(meta(2, 4, 9, 8), meta(6, 4, 3, 5), [1, 1], [1, 2], [1, 1]),
    "strided": convolution(meta(2, 4, 9, 8), meta(6, 4, 3, 3), [2, 1], [0, 1], [1, 1]),
    "dilated": convolution(meta(2, 4, 9, 8), meta(6, 4, 3, 3), [1, 2], [2, 0], [2, 3]),
}
CASES = {
    name: (func, (*args, 1) if func is aten.convolution.default else args)
    for name, (func, args) in CASES.items()
}
depthwise, args = convolution(meta(2, 4, 9, 8), meta(8, 1, 3, 3), [1, 1], [1, 1], [1, 1])
CASES["depthwise"] = (depthwise, (*args, 4))


def layouts(result: Any) -> list[tuple[Any, ...]]:
    tensors = result if isinstance(result, tuple) else (result,)
    return [(t.shape, t.stride(), t.dtype, t.device.type) for t in tensors]


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_that_pytorch_works_out(name: str) -> None:
    func, args = CASES[name]
    found = shapes_of(func, args, {})
    assert found is not None
    assert layouts(found) == layouts(func(*args))


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.relu.default, (meta(2, 3, 5, 4).contiguous(memory_format=torch.channels_last),)),
        (aten.add.Tensor, (meta(2, 3, 5, 4), 1.0)),
        (aten.add.Tensor, (meta(2, 3, 5, 4), meta(3, 5, 4))),
        (aten.add.Tensor, (meta(2, 1, 5, 4), meta(1, 3, 1, 1))),
        (aten.relu.default, (meta(2, 3).T,)),
        (aten.relu.default, (meta(2, 3).long(),)),
        (aten.mean.dim, (meta(2, 3), None)),
        (aten.avg_pool2d.default, (meta(2, 3, 9, 8), [2, 2], [2, 2], [0, 0], True)),
        (aten.avg_pool2d.default, (meta(2, 3, 9, 8), [2])),
        (aten.relu.default, (torch.zeros(2, 3),)),
        (aten.sigmoid.default, (meta(2, 3),)),
        (
            aten.native_batch_norm.default,
            (meta(2, 3, 5, 4), *(meta(3) for _ in range(4)), True, 0.1, 1e-5),
        ),
        (
            aten.convolution.default,
            (meta(2, 4, 2, 2), meta(6, 4, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        ),
        (
            aten.convolution.default,
            (meta(2, 3, 9, 9), meta(6, 4, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        ),
    ],
)
def test_everything_else_is_left_to_pytorch(func: Any, args: tuple[Any, ...]) -> None:
    assert shapes_of(func, args, {}) is None


def test_a_usual_network_needs_no_compiler() -> None:
    program = """
import sys, torch
from torch import nn
from hwnas.networks.meta import MetaShapes, meta_copy
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
cell = "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
twin, _ = meta_copy(NasBench201().build(parse_cell(cell)))
with torch.no_grad(), torch.device("meta"), MetaShapes():
    assert twin(torch.empty(2, 3, 32, 32)).shape == (2, 10)
print([m for m in ("torch._dynamo", "sympy") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_settings_that_change_the_result_are_left_to_pytorch() -> None:
    maps = meta(2, 3, 5, 4)
    assert shapes_of(aten.zeros_like.default, (maps,), {"pin_memory": False}) is not None
    assert shapes_of(aten.zeros_like.default, (maps,), {"dtype": torch.int64}) is None
