from __future__ import annotations

import torch

from hwnas.networks.normal_draws import NormalDraws

# Odd numbers leave one for the next tensor; tensors of fewer than 16 are drawn one by one.
SHAPES = [
    *((5, 3, 3, 3), (7, 5, 1, 1), (3, 2), (5, 1, 3, 1), (1, 1, 1, 1)),
    *((64, 9), (9, 5, 3, 2), (0, 4)),
]


def tensors(layout: torch.memory_format) -> list[torch.Tensor]:
    made = [torch.empty(shape) for shape in SHAPES]
    return [t.contiguous(memory_format=layout) if t.ndim == 4 else t for t in made]


def test_numbers_are_those_of_pytorch_in_every_layout() -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        draws, generator = NormalDraws(7), torch.Generator().manual_seed(7)
        for found, expected in zip(tensors(layout), tensors(layout), strict=True):
            draws.fill_(found, 0.3)
            expected.normal_(0, 0.3, generator=generator)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_numbers_are_those_of_pytorch_in_tensors_with_gaps() -> None:
    draws, generator = NormalDraws(7), torch.Generator().manual_seed(7)
    found, expected = (torch.zeros(9, 8, 7)[:, ::2, :5] for _ in range(2))
    draws.fill_(found, 1.0)
    expected.normal_(generator=generator)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_numbers_are_normal() -> None:
    weight = torch.empty(64, 32, 3, 3).contiguous(memory_format=torch.channels_last)
    NormalDraws(0).fill_(weight, 2.0)
    places = torch.linspace(-4, 4, 9)
    shares = torch.special.ndtr(places / 2.0)
    found = torch.stack([(weight < x).float().mean() for x in places])
    assert float((found - shares).abs().max()) < 0.01
