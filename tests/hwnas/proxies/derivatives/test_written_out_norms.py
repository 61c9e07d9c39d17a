from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp

from hwnas.proxies.derivatives.written_out_norms import WrittenOutNorms

DOUBLE: Any = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(0)}
START, SPEED = torch.randn(2, 4, 6, 5, 5, **DOUBLE)
W, B = torch.randn(2, 6, **DOUBLE)
VARIANCE = W.square() + 0.1
LW, LB = torch.randn(2, 5, 5, **DOUBLE)
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": lambda x: F.batch_norm(x, None, None, W, B, True),
    "plain batch": lambda x: F.batch_norm(x, None, None, training=True, eps=0.3),
    "batch in evaluation mode": lambda x: F.batch_norm(x, B, VARIANCE, W, B).square(),
    "instance": lambda x: F.instance_norm(x, None, None, W, B),
    "instance by running statistics": lambda x: F.instance_norm(
        x, B, VARIANCE, use_input_stats=False
    ).square(),
    "layer": lambda x: F.layer_norm(x, [5, 5], LW, LB),
    "torch.layer": lambda x: torch.layer_norm(x, [6, 5, 5]),
}
zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own formulas
@pytest.mark.parametrize("name", NORMS)
def test_values_and_second_forward_derivatives(name: str) -> None:
    def output(t: Tensor) -> Tensor:
        return NORMS[name](START + t * SPEED)

    def speed(t: Tensor) -> Tensor:
        velocity: Tensor = jvp(output, (t,), (one,))[1]
        return velocity

    h = 1e-3
    before, here, after = (output(zero + t) for t in (-h, 0.0, h))
    with WrittenOutNorms():
        torch.testing.assert_close(output(zero), here)
        v, a, *_ = jvp(speed, (zero,), (one,))
    torch.testing.assert_close(v, (after - before) / (2 * h), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a, (after - 2 * here + before) / h**2, rtol=1e-4, atol=1e-3)
