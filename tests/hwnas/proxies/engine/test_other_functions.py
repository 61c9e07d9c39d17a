from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.derivatives import window_sums
from hwnas.proxies.engine import other_functions
from hwnas.proxies.engine.other_functions import (
    OtherFunctions,
    average_pool,
    pointwise_convolution,
    run_other_functions,
)
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject

POOLS: list[dict[str, Any]] = [
    {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0), "count_include_pad": False},
    {"kernel_size": 3, "stride": 1, "divisor_override": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2},
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pools_have_the_values_and_gradients_of_pytorch(
    pool: dict[str, Any], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    torch.manual_seed(0)
    images = torch.randn(3, 5, 9, 8).contiguous(memory_format=layout).requires_grad_()
    answers = []
    for function in (average_pool, F.avg_pool2d):
        y = function(images, **pool)
        assert y.is_contiguous(memory_format=layout)
        gradient = torch.autograd.grad(y.square().sum(), images, create_graph=True)[0]
        second = torch.autograd.grad(gradient.square().sum(), images)[0]
        answers.append((y, gradient, second))
    for found, expected in zip(*answers, strict=True):
        largest = float(expected.detach().abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * largest)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS: list[Callable[[], AbstractContextManager[Any]]] = [
    torch.inference_mode,
    partial(default_dtype, torch.float64),
    partial(torch.device, "meta"),
    partial(torch.autocast, "cpu", dtype=torch.bfloat16),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=["inference", "dtype", "device", "autocast"])
@pytest.mark.parametrize("include", [True, False])
def test_what_a_network_sets_does_not_stay_with_later_ones(
    setting: Callable[[], AbstractContextManager[Any]],
    include: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    for cached in (other_functions._ones, other_functions._sizes, window_sums._windows):
        cached.cache_clear()

    class First(nn.AvgPool2d):
        def forward(self, input: Tensor) -> Tensor:
            with setting():
                return super().forward(input)

    images, kinds = torch.randn(2, 3, 7, 6), (First, nn.AvgPool2d)
    first, later = (kind(3, 1, 1, count_include_pad=include) for kind in kinds)
    expected = later(images)
    for network in (first, later):
        run_other_functions(network)
        torch.testing.assert_close(network(images), expected)
    scale = nn.Parameter(torch.ones(3, 1, 1))
    later(images * scale).square().sum().backward()
    assert scale.grad is not None
    # The pool is linear in the scale.
    torch.testing.assert_close(scale.grad.flatten(), 2 * expected.square().sum(dim=(0, 2, 3)))


REFUSED: list[dict[str, Any]] = [
    {"kernel_size": 3, "stride": 1, "padding": 2},
    {"kernel_size": (5, 2), "stride": 1, "padding": (1, 2)},
    {"kernel_size": 3, "stride": 1, "divisor_override": 0},
    {"kernel_size": 3, "stride": 1, "padding": -1},
    {"kernel_size": (0, 3), "stride": 1},
    {"kernel_size": 3, "stride": (0, 1)},
]


@pytest.mark.parametrize("pool", REFUSED, ids=str)
def test_what_pytorch_refuses_is_refused(
    pool: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    for function in (F.avg_pool2d, average_pool):
        with pytest.raises(RuntimeError):
            function(torch.randn(2, 3, 9, 8), **pool)


POINTWISE: list[dict[str, Any]] = [
    *({}, {"padding": "same"}, {"padding": (0, 0), "dilation": 2}),
    *({"stride": 2}, {"padding": 1}, {"padding": (1, 0)}, {"groups": 2}),
]


@pytest.mark.parametrize("settings", POINTWISE, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_products_have_the_values_and_gradients_of_convolutions(
    settings: dict[str, Any], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 16, 5, 4).contiguous(memory_format=layout).requires_grad_()
    weight, bias = torch.randn(6, 16 // settings.get("groups", 1), 1, 1), torch.randn(6)
    answers = []
    for function in (pointwise_convolution, F.conv2d):
        y = function(images, weight, bias, **settings)
        answers.append((y, torch.autograd.grad(y.square().sum(), images)[0]))
    for found, expected in zip(*answers, strict=True):
        assert found.is_contiguous(memory_format=layout)
        largest = float(expected.detach().abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * largest)


@pytest.mark.parametrize(("allowed", "count"), [(True, 15), (True, 16), (False, 2)])
def test_pointwise_convolutions_of_few_images_are_products_where_they_may_be(
    allowed: bool, count: int
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.Conv2d(4, 2, 3))
    model = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert Subject(model, (3, 8, 8))._probe.others
    images = torch.randn(count, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    expected, graph = network(images), []
    network[1].register_forward_hook(lambda _module, _args, y: graph.append(str(y.grad_fn)))
    run_other_functions(network, allowed)
    torch.testing.assert_close(network(images), expected)
    assert ("Permute" in graph[0]) is (allowed and count < 16)


def test_zeros_and_other_formats_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    assert not average_pool(torch.zeros(2, 3, 5, 5), 3, 1, 1).any()
    double = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    assert torch.equal(average_pool(double, 3, 1, 1), F.avg_pool2d(double, 3, 1, 1))
    assert average_pool(torch.randn(3, 5, 5), 3, 1, 1).shape == (3, 5, 5)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2)])
def test_large_overlapping_pools_are_convolutions(pool: nn.Module) -> None:
    images = torch.randn(8, 16, 32, 32, requires_grad=True)
    with OtherFunctions() as mode:
        name = str(pool(images).grad_fn)
    assert mode.used
    assert ("Div" in name) is (pool.kernel_size == 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forward_derivatives_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    pool = partial(average_pool, kernel_size=3, stride=1, padding=1, count_include_pad=False)
    images, directions = torch.randn(2, 1, 7, 11, 5)

    def squares(turn: Tensor) -> Tensor:
        return pool(images + turn * directions).square()

    def speed(turn: Tensor) -> Tensor:
        found: Tensor = torch.func.jvp(squares, (turn,), (torch.ones(()),))[1]
        return found

    for _ in range(2):
        second = torch.func.jvp(speed, (torch.zeros(()),), (torch.ones(()),))[1]
        torch.testing.assert_close(second, 2 * pool(directions).square())


def test_pools_of_a_network_are_found_and_run_so() -> None:
    convolution, head = nn.Conv2d(3, 16, 3, padding=1), (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(convolution, nn.AvgPool2d(3, 1, 1))
    assert Subject(nn.Sequential(network, *head), (3, 32, 32))._probe.others
    assert not Subject(nn.Sequential(convolution, *head), (3, 32, 32))._probe.others
    images = torch.randn(8, 3, 32, 32)
    expected, graph = network(images), []
    run_other_functions(network)
    network[1].register_forward_hook(lambda _module, _args, y: graph.append(str(y.grad_fn)))
    torch.testing.assert_close(network(images), expected)
    assert "Div" in graph[0]


class _Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1)


@pytest.mark.parametrize(("pool", "alone"), [(nn.AvgPool2d(3, 1, 1), True), (_Functional(), False)])
def test_functions_of_modules_alone_need_no_function_mode(
    pool: nn.Module, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_functions, "_LARGE", 0)
    seen: list[tuple[int, str]] = []

    class Watching(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((torch._C._len_torch_function_stack(), str(x.grad_fn)))
            return super().forward(x)

    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 1), Watching(), nn.Conv2d(6, 4, 3, bias=False), pool, Watching()
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    subject, setting = Subject(model, (3, 8, 8), None, 4), Setting("as_built", "eval")
    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = model(images)
    images.requires_grad_()
    for products in (True, False):
        network = subject.network(setting, products)
        seen.clear()  # of the trial run
        torch.testing.assert_close(network(images), expected)
        (modes, convolved), (_, pooled) = seen
        assert modes == (0 if alone else 1)
        assert ("Permute" in convolved) is products
        assert "Div" in pooled


def test_a_padding_that_is_no_zeros_stays() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 1, padding=1, padding_mode="reflect")
    images = torch.randn(2, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    expected = conv(images)
    run_other_functions(conv, products=True, elsewhere=False)
    assert torch.equal(conv(images), expected)
