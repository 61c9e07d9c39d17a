import pytest
import torch
import torch.nn.functional as F

from hwnas.proxies.derivatives.window_sums import window_sizes, window_sums

WINDOWS = [
    ((3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 1), (1, 1), (0, 0), (1, 1)),
    ((1, 1), (2, 2), (0, 0), (1, 1)),
    ((5, 2), (2, 3), (2, 1), (1, 1)),
    ((3, 3), (2, 1), (0, 3), (2, 3)),
]


def maps(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 1, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("window", WINDOWS)
def test_sums_are_convolutions_with_ones(window: tuple[tuple[int, int], ...]) -> None:
    kernel, stride, padding, dilation = window
    x = maps(9, 12)
    ones = torch.ones(1, 1, *kernel, dtype=torch.float64)
    expected = F.conv2d(x, ones, None, stride, padding, dilation)
    found = window_sums(x, kernel, stride, padding, dilation)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_sizes_leave_the_padding_out(stride: int) -> None:
    x, window = maps(8, 11), ((3, 3), (stride, stride), (1, 1))
    expected = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    sums = window_sums(x, *window)
    assert sums is not None
    torch.testing.assert_close(sums / window_sizes((8, 11), *window), expected)


def test_what_products_would_spoil_or_slow_down_is_left_to_the_usual_way() -> None:
    window = ((3, 3), (1, 1), (1, 1))
    x = maps(8, 8)
    assert window_sums(x.float(), *window) is None
    assert window_sums(maps(8, 100), *window) is None
    x[0, 0, 2, 3] = torch.inf
    assert window_sums(x, *window) is None
