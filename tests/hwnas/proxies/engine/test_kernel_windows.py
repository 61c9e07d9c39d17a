from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hwnas.proxies.engine.kernel_windows import kernel_edges


@pytest.mark.parametrize(
    ("kernel", "size", "settings"),
    [
        ((3, 3), (8, 8), {"padding": (1, 1)}),
        ((3, 3), (8, 6), {"padding": (1, 1), "stride": (2, 2)}),
        ((3, 3), (7, 7), {"padding": (0, 1), "stride": (3, 1)}),
        ((1, 1), (4, 4), {}),
        ((1, 1), (4, 4), {"padding": (2, 2)}),
        ((5, 2), (9, 5), {"padding": (3, 1), "dilation": (2, 3), "stride": (1, 2)}),
        ((7, 7), (2, 3), {"padding": (3, 3)}),
        ((3, 3), (4, 4), {"padding": (1, 1), "groups": 2}),
        ((3, 3), (4, 4), {"padding": (1, 1), "groups": 4}),
    ],
)
def test_edges_are_those_of_running_the_convolution(
    kernel: tuple[int, int], size: tuple[int, int], settings: dict[str, Any]
) -> None:
    defaults: dict[str, Any] = {
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
    }
    settings = defaults | settings
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        weight = torch.randn(8, 4 // settings["groups"], *kernel, generator=generator).double()
        expected = torch.zeros(4, 8, dtype=torch.bool)
        for channel in range(4):
            image = torch.zeros(1, 4, *size, dtype=torch.float64)
            image[:, channel] = 1
            output = F.relu(F.conv2d(image, weight, **settings))
            expected[channel] = output.sum(dim=(0, 2, 3)) != 0
        found = kernel_edges(weight.float(), size, **settings)
        assert torch.equal(found, expected)
