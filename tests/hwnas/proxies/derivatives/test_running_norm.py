from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwnas.proxies.derivatives.running_norm import running_batch_norm


def norms() -> dict[str, nn.BatchNorm2d]:
    torch.manual_seed(0)
    new, used, plain = (
        nn.BatchNorm2d(6),
        nn.BatchNorm2d(6, eps=0.1),
        nn.BatchNorm2d(6, affine=False),
    )
    for norm in (used, plain):
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    nn.init.normal_(used.weight)
    nn.init.normal_(used.bias)
    shifted = nn.BatchNorm2d(6)
    nn.init.ones_(shifted.bias)
    return {"as new": new, "used": used, "without weights": plain, "shifted": shifted}


@pytest.mark.parametrize("name", norms())
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_pytorch(name: str, layout: torch.memory_format) -> None:
    norm = norms()[name].eval()
    images = torch.randn(4, 6, 5, 3).contiguous(memory_format=layout)
    signs = torch.randn_like(images)
    answers = []
    for function in (running_batch_norm, F.batch_norm):
        x = images.clone().requires_grad_()
        y = function(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        assert y.is_contiguous(memory_format=layout)
        answers.append((y.detach(), torch.autograd.grad(y, x, signs)[0]))
    for found, expected in zip(*answers, strict=True):
        torch.testing.assert_close(found, expected)


def test_statistics_of_the_batch_are_pytorchs() -> None:
    images = torch.randn(4, 6)
    expected = F.batch_norm(images, None, None, training=True)
    assert torch.equal(running_batch_norm(images, None, None, training=True), expected)
