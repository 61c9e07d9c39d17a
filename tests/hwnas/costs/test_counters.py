from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.costs.counters import METRICS, CounterCost, CounterSource, Counts, Metric, count
from hwnas.costs.source import CostRequest, make_cost
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_classes, image_task
from hwnas.testing import CostModelContract

IMAGE = (3, 8, 8)


class Attention(nn.Module):
    """One head over T tokens of D channels, the usual way or with PyTorch's fused function."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(1).reshape(1, 12, 16)).chunk(3, dim=-1)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
        else:
            mixed = torch.softmax(q @ k.transpose(1, 2) / 4.0, dim=-1) @ v
        return mixed


class Function(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        match self.name:
            case "mv":
                return torch.mv(x[0, 0], x[0, 0, 0])
            case "dot":
                return torch.dot(x[0, 0, 0], x[0, 0, 0])
            case "qr":
                return cast(Tensor, torch.linalg.qr(x).Q)
        return F.relu(x[:, :, ::2] * 2 + 1).softmax(1)


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        # K * K * C_in / groups * C_out for each output element of a channel.
        (nn.Conv2d(3, 5, 3, padding=1), 9 * 3 * 5 * 64),
        (nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False), 9 * 3 * 5 * 16),
        (nn.Conv2d(3, 6, 3, padding=1, groups=3), 9 * 1 * 6 * 64),
        (nn.Conv2d(3, 5, (1, 3), dilation=2), 3 * 3 * 5 * (8 * 4)),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), 4 * 3 * 5 * 64),
        (nn.Linear(8, 7), 3 * 8 * 8 * 7),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), 192 * 7),
        (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)), 0),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Hardswish(), nn.GELU()), 0),
        # Projection, then q k' and the weighted sum of v, T * T * D each.
        (Attention(fused=False), 12 * 16 * 48 + 2 * 12 * 12 * 16),
        (Attention(fused=True), 12 * 16 * 48 + 2 * 12 * 12 * 16),
        (Function("mv"), 64),
        (Function("dot"), 8),
        (Function("pointwise"), 0),
    ],
)
def test_macs_by_hand(model: nn.Module, macs: int) -> None:
    counts = count(model, IMAGE)
    assert counts.macs == macs
    assert counts.flops == 2 * macs
    assert counts.uncounted == ()


def test_shared_parameters_count_once_and_shared_work_twice() -> None:
    layer = nn.Conv2d(3, 3, 1)
    counts = count(nn.Sequential(layer, nn.ReLU(), layer), IMAGE)
    assert (counts.params, counts.macs, counts.layers) == (3 * 3 + 3, 2 * 9 * 64, 1)


def test_operator_without_a_formula_is_named_and_never_counted_as_zero() -> None:
    counts = count(nn.Sequential(nn.Conv2d(3, 3, 1), Function("qr")), IMAGE)
    assert counts.macs is None
    assert counts.flops is None
    assert counts.uncounted == ("linalg_qr",)
    assert counts.params == 12


@pytest.mark.parametrize(
    ("model", "floats"),
    [
        (nn.Identity(), 192),
        # Input and output of the only operation.
        (nn.Conv2d(3, 5, 1), 192 + 5 * 64),
        # In-place: no memory of its own.
        (nn.ReLU(inplace=True), 192),
        (nn.ReLU(), 2 * 192),
        # The input is freed before the second operation: 5*64 + 2*64 is less than 3*64 + 5*64.
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 2, 1)), 192 + 5 * 64),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 7, 1)), (5 + 7) * 64),
        # Views need nothing; the flattened input stays alive for the product.
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), 192 + 10),
        # Indices of the max pool are not made.
        (nn.MaxPool2d(2), 192 + 48),
    ],
)
def test_peak_memory_by_hand(model: nn.Module, floats: int) -> None:
    assert count(model, IMAGE).peak_memory == 4 * floats


class Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(x)
        unused = F.relu(x)
        b = F.sigmoid(a)
        del unused
        return x + b


def test_peak_memory_of_a_residual_block() -> None:
    # x lives throughout; the largest moment holds x, a and one result.
    assert count(Residual(), IMAGE).peak_memory == 4 * 3 * 192


def test_precision_of_the_network_does_not_change_its_counts() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    assert count(copy.deepcopy(model).double(), IMAGE) == count(model, IMAGE)
    assert count(copy.deepcopy(model).half(), IMAGE) == count(model, IMAGE)


def test_network_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout()).train()
    before = {name: (id(t), t.clone()) for name, t in model.state_dict(keep_vars=True).items()}
    state = torch.get_rng_state()
    count(model, IMAGE)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert id(tensor) == before[name][0]
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name][1])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(3, 1, 1)
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.bound = self.conv.forward

    def forward(self, x: Tensor) -> Tensor:
        return self.bound(x) * self.scale * torch.arange(8)


def test_tensor_attributes_factories_and_bound_methods_run() -> None:
    counts = count(Tied(), IMAGE)
    assert (counts.params, counts.macs) == (9, 9 * 64)


def test_value_dependent_network_is_counted_as_it_runs() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.conv(x if x.isfinite().all() else x.new_zeros(x.shape))
            return features

    branch, plain = Branch(), nn.Conv2d(3, 5, 1)
    state = torch.get_rng_state()
    assert count(branch, IMAGE).macs == count(plain, IMAGE).macs == 5 * 3 * 64
    assert torch.equal(torch.get_rng_state(), state)


def test_a_share_is_counted_where_one_image_is_too_few() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 5, 8), nn.Flatten(), nn.BatchNorm1d(5, track_running_stats=False)
    )
    with pytest.raises(InvalidValueError, match="Expected more than 1 value"):
        count(model, IMAGE)
    assert count(model, IMAGE, batch=4).macs == 5 * 192


def test_network_that_rejects_the_image_gets_one_clear_line() -> None:
    with pytest.raises(InvalidValueError, match=r"images of shape \(1, 4, 8, 8\)"):
        count(nn.Conv2d(3, 1, 1), (4, 8, 8))


def _by_hand(cell: Cell, cells: int, in_shape: tuple[int, int, int], classes: int) -> int:
    """MACs of a NAS-Bench-201 network with C = 16, from the paper's figure."""
    c_in, height, width = in_shape
    pixels = height * width
    macs = 9 * c_in * 16 * pixels + 64 * classes
    kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
    for stage in range(3):
        c, p = 16 * 2**stage, pixels // 4**stage
        macs += cells * sum(kernel.get(o, 0) * c * c * p for o in cell.operations)
        if stage:
            # conv_a of stride 2, conv_b, and the 1x1 of the shortcut.
            macs += p * (9 * c // 2 * c + 9 * c * c + c // 2 * c)
    return macs


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "ImageNet16-120"])
def test_nasbench201_macs_by_hand(dataset: str) -> None:
    task, space = get_task(dataset), NasBench201(cells=2)
    text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
    cell = space.parse(text)
    classes, in_shape = image_classes(task, "this test")
    counts = count(space.build(cell, task), in_shape)
    assert counts.macs == _by_hand(cell, 2, in_shape, classes)


def test_costs_are_those_of_the_representative() -> None:
    space = NasBench201(cells=1)
    dead = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|")
    alive = space.representative(dead)
    cost = CounterCost(space, "macs")
    assert cost.predict([dead, alive]).tolist() == [_by_hand(alive, 1, (3, 32, 32), 10)] * 2
    assert CounterCost(NasBench201(cells=2), "macs").predict([dead])[0] > cost.predict([dead])[0]


def test_every_metric_is_the_count_of_its_name() -> None:
    space = NasBench201(cells=1)
    cell = space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|")
    counts = count(space.build(space.representative(cell)), (3, 32, 32))
    for option in CounterSource().options():
        metric = cast(Metric, option.metric)
        request = CostRequest(space, option.device, metric, get_task("cifar10"))
        cost = CounterSource().make(request)
        assert cost.predict([cell]).tolist() == [float(getattr(counts, metric))]
        assert (cost.metric, cost.unit, cost.direction) == option[1:]
        assert cost.device.device == option.device == "any"
    assert {option.metric for option in CounterSource().options()} == set(METRICS)


def test_cost_is_found_by_its_spec() -> None:
    cost = make_cost("count:flops", NasBench201(), get_task("ImageNet16-120"))
    assert cost == CounterCost(NasBench201(), "flops", get_task("ImageNet16-120"))
    assert "cells=5" in repr(cost)


def test_unknown_metric_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'params'"):
        CounterCost(NasBench201(), cast(Metric, "parms"))


def test_cost_refuses_a_number_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Counts(params=1, macs=None, peak_memory=2, layers=1, uncounted=("fft",))
    monkeypatch.setattr("hwnas.costs.counters.count", lambda *_: unknown)
    space, cell = NasBench201(cells=1, channels=3), Cell(("skip_connect",) * 6)
    with pytest.raises(InvalidValueError, match="none for fft in"):
        CounterCost(space, "macs").predict([cell])
    assert np.array_equal(CounterCost(space, "params").predict([cell]), [1.0])


@pytest.mark.parametrize("metric", METRICS)
def test_shipped_counts_are_those_of_the_networks(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = NasBench201()
    rng = np.random.default_rng(0)
    cells = [space.sample(rng) for _ in range(6)]
    expected = [
        getattr(count(space.build(space.representative(cell)), (3, 32, 32)), metric)
        for cell in cells
    ]
    monkeypatch.setattr("hwnas.costs.counters.count", None)  # would fail if it were called
    assert CounterCost(space, metric).predict(cells).tolist() == expected


@pytest.mark.parametrize(
    ("space", "classes"), [(NasBench201(channels=4, cells=1), 10), (NasBench201(), 100)]
)
def test_other_networks_are_counted(space: NasBench201, classes: int) -> None:
    cell = space.sample(np.random.default_rng(1))
    task = image_task(classes, (3, 32, 32))
    network = space.build(space.representative(cell), task)
    expected = count(network, (3, 32, 32)).params
    assert CounterCost(space, "params", task).predict([cell]).tolist() == [expected]


class TestContract(CostModelContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return NasBench201(channels=4, cells=1)

    @pytest.fixture(params=METRICS)
    def cost(self, request: pytest.FixtureRequest, space: NasBench201) -> CounterCost[Any]:
        return CounterCost(space, request.param)
