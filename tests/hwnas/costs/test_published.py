"""Published look-ups of HELP, BRP-NAS and the FBNet part of HW-NAS-Bench."""

from __future__ import annotations

import itertools
import pickle
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hwnas.costs.brp_nas import BrpNasSource, brp_nas_cost
from hwnas.costs.help import HelpSource, help_cost
from hwnas.costs.hw_nas_bench import HwNasBench, fbnet_cost
from hwnas.costs.source import make_cost
from hwnas.data.brp_nas import brp_nas_devices, brp_nas_latencies
from hwnas.data.help import (
    HELP_SPACES,
    help_archs,
    help_devices,
    help_latencies,
    help_space,
)
from hwnas.data.hw_nas_bench_fbnet import COLUMNS, FROM_HELP
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.files.pinned import sha256
from hwnas.spaces.fbnet import OPERATIONS, POSITIONS, SKIP, FBNet, FBNetArch
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract

INDEX_0 = parse_cell(
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)
MIXED = parse_cell(
    "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|skip_connect~1|nor_conv_3x3~2|"
)
NONE = parse_cell("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
PHONE = "mobile-cpu-snapdragon-855-kryo-485-int8"


def write_brp(folder: Path, content: Any, device: str = PHONE) -> Path:
    path = folder / f"brpnas/{device}.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def write_torch(folder: Path, file: str, content: Any) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_brp_nas_seconds_are_ms_by_exact_cell(tmp_path: Path) -> None:
    # 0 none, 1 skip, 2 conv 1x1, 3 conv 3x3, 4 pool, in the order of the architecture string.
    write_brp(tmp_path, {(4, 2, 1, 2, 1, 1): 0.002, (3, 0, 4, 2, 1, 3): np.float64(0.0035)})
    cost = brp_nas_cost(PHONE, tmp_path)
    np.testing.assert_allclose(cost.predict([MIXED, INDEX_0, NONE]), [3.5, 2.0, np.nan])
    assert (cost.metric, cost.unit, cost.direction) == ("latency", "ms", "minimize")
    assert (cost.device.device, cost.device.precision) == (PHONE, "int8")


@pytest.mark.parametrize(
    "content",
    [[1.0], {(5, 0, 0, 0, 0, 0): 0.1}, {(0, 0, 0): 0.1}, {(-1, 0, 0, 0, 0, 0): 0.1},
     {(0, 0, 0, 0, 0, 0): -1.0}, {(0, 0, 0, 0, 0, 0): float("inf")}, {(0, 0, 0, 0, 0, 0): 0},
     {(0, 0, 0, 0, 0, 0): True}, {(0, 0, 0, 0, 0, 0): "fast"}, {7: 0.1}],
    ids=str,
)  # fmt: skip
def test_damaged_brp_nas_file_is_refused(tmp_path: Path, content: Any) -> None:
    write_brp(tmp_path, content)
    with pytest.raises(DataFormatError, match="hwnas data verify brp-nas"):
        brp_nas_latencies(PHONE, tmp_path)


def test_brp_nas_is_for_its_networks(tmp_path: Path) -> None:
    write_brp(tmp_path, {(0, 0, 0, 0, 0, 0): 0.1})
    spec = f"brp-nas:{PHONE}"
    cost = make_cost(spec, NasBench201(), get_task("cifar10"), tmp_path)
    assert cost == brp_nas_cost(PHONE, tmp_path)
    for space, dataset in ((NasBench201(cells=2), "cifar10"), (NasBench201(), "cifar100")):
        with pytest.raises(InvalidValueError, match="and cifar10 for brp-nas"):
            make_cost(spec, space, get_task(dataset), tmp_path)
    with pytest.raises(InvalidValueError, match="`space` must be nasbench201 for brp-nas"):
        make_cost(spec, FBNet(), get_task("cifar10"), tmp_path)
    with pytest.raises(DataNotFoundError, match="Google Drive"):
        make_cost("brp-nas", NasBench201(), get_task("cifar10"), tmp_path)


def test_fourteen_devices() -> None:
    options = BrpNasSource().options()
    assert [option.device for option in options] == list(brp_nas_devices())
    assert len(options) == 14


def test_help_by_canonical_key(tmp_path: Path) -> None:
    # One measured network whose identity stands before a block of the same stage.
    write_torch(tmp_path, "help/fbnet/arch.pt", [[0, 0, 8, 3, *[0] * 18]])
    path = write_torch(tmp_path, "help/fbnet/latency/pixel2.pt", [34])
    cost = help_cost("fbnet", "pixel2", tmp_path)
    same = FBNetArch(("k3_e1", "k3_e1", "k3_e6", SKIP, *["k3_e1"] * 18))
    other = FBNetArch(("k3_e1",) * 22)
    np.testing.assert_array_equal(cost.predict([other, same]), [np.nan, 34.0])
    assert cost.provenance["sha256"] == sha256(path)
    assert cost != help_cost("fbnet", "pixel2", _with_another_value(tmp_path))


def _with_another_value(folder: Path) -> Path:
    write_torch(folder, "help/fbnet/latency/pixel2.pt", [35])
    return folder


def test_help_has_the_devices_of_all_spaces() -> None:
    devices = {option.device for option in HelpSource().options()}
    assert {"titan_rtx_256", "titan_rtx_64", "v100_32", "pixel2"} <= devices


@pytest.mark.parametrize(
    ("spec", "space", "dataset", "named"),
    [
        ("help:pixel2", FBNet(), "cifar10", "FBNet() and cifar100 for help"),
        ("help:v100_1", MobileNetV3(width=1.0), "ImageNet", "MobileNetV3(width=1.2) and ImageNet"),
        ("help:pixel2", NasBench201(channels=8), "cifar10", "NasBench201(channels=16, cells=5)"),
    ],
)
def test_help_is_for_its_networks(
    spec: str, space: Any, dataset: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(named)):
        make_cost(spec, space, get_task(dataset), tmp_path)


def test_help_device_of_another_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"`device` must be one of .*but got 'v100_1'"):
        make_cost("help:v100_1", FBNet(), get_task("cifar100"), tmp_path)


def fbnet_pickle(sides: list[int], strides: list[int], stem: int, width: int, classes: int) -> Any:
    """Lay costs out as the official file does: an operation's cost is its number in a layer.

    A network with operation numbers o costs 1000 for everything but its layers, and the sum over
    layers of 100 times the stage (from 1) and o.
    """
    end, side = sides[-1], sides[0]
    costs: dict[str, float] = {
        f"ConvNorm_H{side}_W{side}_Cin3_Cout16_kernel3_stride{stem}_group1": 400.0,
        f"ConvNorm_H{end}_W{end}_Cin352_Cout{width}_kernel1_stride1_group1": 300.0,
        f"AvgP_H{end}_W{end}_Cin{width}_Cout{width}_kernel{end}_stride1": 200.0,
        f"FC_Cin{width}_Cout{classes}": 100.0,
    }
    channels, c_in = [16, 24, 32, 64, 112, 184, 352], 16
    forms = [(1, 3, 1), (1, 3, 2), (3, 3, 1), (6, 3, 1), (1, 5, 1), (1, 5, 2), (3, 5, 1), (6, 5, 1)]
    for stage, c_out in enumerate(channels):
        for c, side, stride in (
            (c_in, sides[stage + 1], strides[stage]),
            (c_out, sides[stage + 2], 1),
        ):
            size = f"H{side}_W{side}_Cin{c}_Cout{c_out}"
            for number, (expansion, kernel, groups) in enumerate(forms):
                key = f"ConvBlock_{size}_exp{expansion}_kernel{kernel}_stride{stride}_group{groups}"
                costs[key] = 100.0 * (stage + 1) + number
            costs[f"Skip_{size}_stride{stride}"] = 100.0 * (stage + 1) + 8
        c_in = c_out
    return {"nasbench201": {}, "fbnet": dict.fromkeys(COLUMNS, costs)}


PICKLES = {
    "cifar100": ([32, 32, 32, 32, 16, 8, 8, 4, 4], [1, 1, 2, 2, 1, 2, 1], 1, 1504, 100),
    "ImageNet": ([224, 112, 112, 56, 28, 14, 14, 7, 7], [1, 2, 2, 2, 1, 2, 1], 2, 1984, 1000),
}


@pytest.fixture(params=list(PICKLES))
def official(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Any]:
    content = fbnet_pickle(*PICKLES[request.param])
    path = tmp_path / "hw_nas_bench/HW-NAS-Bench-v1_0.pickle"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content))
    return request.param, path, content


def test_official_fbnet_costs_add_up(official: tuple[str, Path, Any], tmp_path: Path) -> None:
    dataset, path, _ = official
    space, rng = FBNet(), np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(5)]
    stages = 100 * (1 + 4 * (2 + 3 + 4 + 5 + 6) + 7)
    expected = [1000 + stages + sum(map(OPERATIONS.index, a.operations)) for a in archs]
    for column in COLUMNS:
        device, metric = column.split("_")
        cost = fbnet_cost(dataset, device, metric, tmp_path)
        np.testing.assert_allclose(cost.predict(archs), expected)
        assert cost.unit == {"latency": "ms", "energy": "mJ"}[metric]
    assert cost.provenance["file"] == str(path)


def test_minus_one_is_a_missing_value(official: tuple[str, Path, Any], tmp_path: Path) -> None:
    dataset, path, content = official
    costs = content["fbnet"]["edgegpu_latency"]
    key = next(key for key in costs if "Cin184_Cout352_exp6_kernel5" in key)
    costs[key] = -1.0
    path.write_bytes(pickle.dumps(content))
    with_it = FBNetArch((*["k3_e1"] * 21, "k5_e6"))
    values = fbnet_cost(dataset, "edgegpu", "latency", tmp_path).predict(
        [with_it, FBNetArch(("k5_e6",) * 21 + ("k3_e1",))]
    )
    assert np.isnan(values).tolist() == [True, False]


def test_other_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hw_nas_bench/HW-NAS-Bench-v1_0.pickle"
    path.parent.mkdir(parents=True)
    parts: list[Any] = [{}, {"fpga_energy": [1]}, {"fpga_energy": {}}]
    for content in ({"fbnet": part} for part in parts):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DataFormatError, match="HW-NAS-Bench-v1_0"):
            fbnet_cost("cifar100", "fpga", "energy", tmp_path)


def test_sums_are_found_in_measured_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = rng.uniform(size=(22, 9))
    numbers = rng.integers(9, size=(400, 22))
    latency_ms = 5.0 + layers[np.arange(22), numbers].sum(axis=1)
    write_torch(tmp_path, "help/fbnet/arch.pt", numbers.tolist())
    write_torch(tmp_path, "help/fbnet/latency/fpga.pt", latency_ms.tolist())
    unseen = rng.integers(9, size=(20, 22))
    archs = [FBNetArch(tuple(OPERATIONS[i] for i in row)) for row in unseen]
    cost = fbnet_cost("cifar100", "fpga", "latency", tmp_path)
    expected = 5.0 + layers[np.arange(22), unseen].sum(axis=1)
    np.testing.assert_allclose(cost.predict(archs), expected, rtol=1e-9)
    write_torch(tmp_path, "help/fbnet/latency/fpga.pt", (latency_ms**2).tolist())
    with pytest.raises(DataFormatError, match="sums over the layers"):
        fbnet_cost("cifar100", "fpga", "latency", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "device", "metric", "error"),
    [
        ("cifar10", "fpga", "latency", InvalidValueError),
        ("cifar100", "edgetpu", "latency", InvalidValueError),
        ("cifar100", "edgegpu", "latency", DataNotFoundError),
        ("ImageNet", "fpga", "latency", DataNotFoundError),
        ("cifar100", "fpga", "speed", UnknownNameError),
    ],
)
def test_what_is_not_there_is_refused(
    dataset: str, device: str, metric: str, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        fbnet_cost(dataset, device, metric, tmp_path)


def test_cells_have_no_costs_for_imagenet(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="dataset of NAS-Bench-201"):
        HwNasBench("ImageNet", "fpga", "latency", tmp_path)


@cache
def once(read: Callable[..., Any], *arguments: Any) -> Any:
    """Read published files once for all properties that are tried on them."""
    return read(*arguments)


@pytest.mark.data
class TestFBNetContract(CostModelContract):
    @pytest.fixture
    def space(self) -> FBNet:
        return FBNet()

    @pytest.fixture(params=FROM_HELP)
    def cost(self, request: pytest.FixtureRequest, data_folder: Path) -> Any:
        spec = f"hw-nas-bench:{request.param}:latency"
        return once(make_cost, spec, FBNet(), get_task("cifar100"), data_folder)


@pytest.mark.data
class TestHelpContract(CostModelContract):
    @pytest.fixture(params=HELP_SPACES)
    def space(self, request: pytest.FixtureRequest) -> Any:
        return help_space(request.param)

    @pytest.fixture
    def archs(self, space: Any, data_folder: Path) -> list[Any]:
        # Of the large spaces a random draw was not measured.
        return list(once(help_archs, space.name, data_folder)[::1000])[: self.samples]

    @pytest.fixture
    def cost(self, space: Any, data_folder: Path) -> Any:
        return once(help_cost, space.name, help_devices(space.name)[0], data_folder)


@pytest.mark.data
class TestBrpNasContract(CostModelContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return NasBench201()

    @pytest.fixture(params=brp_nas_devices())
    def cost(self, request: pytest.FixtureRequest, data_folder: Path) -> Any:
        return once(brp_nas_cost, request.param, data_folder)


@pytest.mark.data
@pytest.mark.parametrize("device", FROM_HELP)
def test_published_sums(device: str, data_folder: Path) -> None:
    cost = fbnet_cost("cifar100", device, "latency", data_folder)
    archs = help_archs("fbnet", data_folder)
    np.testing.assert_allclose(
        cost.predict(archs), help_latencies("fbnet", device, data_folder), rtol=1e-10
    )
    table = pd.read_csv(data_folder / "hw_nas_bench/fbnet_cifar100_latency_additive.csv")
    entries = table[(table["device"] == device) & (table["layer"] >= 0)]
    base = FBNetArch((SKIP,) * len(POSITIONS))
    for layer, op, expected in itertools.islice(
        zip(entries["layer"], entries["op"], entries["latency_ms_relative_to_skip"], strict=True),
        0, None, 7,
    ):  # fmt: skip
        one = FBNetArch((*base.operations[:layer], op, *base.operations[layer + 1 :]))
        low, high = cost.predict([base, one])
        assert high - low == pytest.approx(expected, abs=1e-9)


@pytest.mark.data
@pytest.mark.parametrize(
    ("device", "entries", "median_ms"),
    [
        ("desktop-cpu-core-i7-7820x-fp32", 15_284, 4.781),
        ("embedded-tpu-edgetpu-large", 14_802, 17.872),
        ("mobile-gpu-snapdragon-855-adren0-640-int8", 15_284, 3.782),
    ],
)
def test_published_brp_nas(device: str, entries: int, median_ms: float, data_folder: Path) -> None:
    cost, space = brp_nas_cost(device, data_folder), NasBench201()
    values = cost.predict(list(space))
    assert np.count_nonzero(~np.isnan(values)) == entries
    assert np.nanmedian(values) == pytest.approx(median_ms, abs=5e-4)
    unconnected = [cell for cell in space if not space.is_valid(cell)]
    assert len(unconnected) == 341
    assert np.isnan(cost.predict(unconnected)).all()


@pytest.mark.data
@pytest.mark.parametrize("space", ["fbnet", "mobilenetv3"])
def test_published_help_networks_are_found(space: str, data_folder: Path) -> None:
    device = help_devices(space)[0]
    cost = help_cost(space, device, data_folder)
    archs = help_archs(space, data_folder)
    np.testing.assert_array_equal(cost.predict(archs), help_latencies(space, device, data_folder))
