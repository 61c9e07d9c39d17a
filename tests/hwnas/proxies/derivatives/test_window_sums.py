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
    ((9, 12), (1, 1), (0, 0), (1, 1)),
    ((2, 3), (3, 5), (14, 20), (1, 1)),
]


def maps(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 1, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("infinite", [False, True])
def test_sums_are_convolutions_with_ones(
    window: tuple[tuple[int, int], ...], infinite: bool
) -> None:
    kernel, stride, padding, dilation = window
    x = maps(9, 12)
    if infinite:
        x[0, 0, 2, 3], x[1, 0, 8, 0] = torch.inf, torch.nan
    ones = torch.ones(1, 1, *kernel, dtype=torch.float64)
    expected = F.conv2d(x, ones, None, stride, padding, dilation)
    found = window_sums(x, kernel, stride, padding, dilation)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13, equal_nan=True)


def test_maps_are_left_as_they_are() -> None:
    lanes = maps(8, 8).expand(-1, 3, -1, -1)
    before = lanes.clone()
    found = window_sums(lanes, (3, 3), (2, 2), (1, 1))
    assert torch.equal(lanes, before)
    assert torch.equal(found[:, 1], window_sums(lanes[:, 1:2], (3, 3), (2, 2), (1, 1))[:, 0])


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_sizes_leave_the_padding_out(stride: int) -> None:
    x, window = maps(8, 11), ((3, 3), (stride, stride), (1, 1))
    expected = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    found = window_sums(x, *window) / window_sizes(x.shape[2:], *window)
    torch.testing.assert_close(found, expected)
