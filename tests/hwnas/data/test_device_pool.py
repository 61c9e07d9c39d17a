"""HELP's data: made-up files, and the published ones against what is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from hwnas.data import help as help_data
from hwnas.data.brp_nas import brp_nas_devices
from hwnas.data.device_pool import brp_nas_pool, device_pool
from hwnas.data.nasbench201 import OfficialIndex
from hwnas.errors import DataFormatError, DataNotFoundError, UnknownNameError
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.row_order import serial_correlation, speed_changed
from hwnas_predictors.encodings import one_hot

ARCHS = [[0, 1, 2, 3, 4, 5, 6, 7, 8, *[0] * 13], [8] * 22]


def write(folder: Path, file: str, content: Any) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


@pytest.fixture
def fbnet(tmp_path: Path) -> Path:
    write(tmp_path, "help/fbnet/arch.pt", ARCHS)
    write(tmp_path, "help/fbnet/hardware_embedding_index.pt", [0, 1] * 5)
    for number, device in enumerate(help_data.help_devices("fbnet")):
        write(tmp_path, f"help/fbnet/latency/{device}.pt", [1.0 + number, 2.5 + number])
    return tmp_path


def test_pool_of_made_up_files(fbnet: Path) -> None:
    pool = device_pool("fbnet", fbnet)
    names = help_data.help_devices("fbnet")
    assert pool.space == FBNet()
    assert str(pool.archs[0]).startswith(
        "k3_e1,k3_e1_g2,k3_e3,k3_e6,k5_e1,k5_e1_g2,k5_e3,k5_e6,skip"
    )
    assert str(pool.archs[1]) == ",".join(["skip"] * 22)
    assert pool.names == names
    assert (pool.metric, pool.unit) == ("latency", "ms")
    np.testing.assert_array_equal(pool.costs, [[1.0 + d, 2.5 + d] for d in range(len(names))])
    np.testing.assert_array_equal(pool.cost_of(names[3]), [4.0, 5.5])
    part = pool.select((names[5], names[2]))
    np.testing.assert_array_equal(part.costs, [[6.0, 7.5], [3.0, 4.5]])
    assert [str(d) for d in part.devices] == [str(pool.devices[5]), str(pool.devices[2])]


def test_fingerprint_is_that_of_the_content(fbnet: Path) -> None:
    before = device_pool("fbnet", fbnet).fingerprint
    assert device_pool("fbnet", fbnet).fingerprint == before
    write(fbnet, "help/fbnet/latency/raspi4.pt", [1.0, 2.0])
    assert device_pool("fbnet", fbnet).fingerprint != before


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("latency/raspi4.pt", [1.0], "`raspi4` must have 2 latencies"),
        ("latency/raspi4.pt", [1.0, -1.0], "positive numbers"),
        ("latency/raspi4.pt", [1.0, float("nan")], "positive numbers"),
        ("latency/raspi4.pt", [1.0, float("inf")], "has inf in row 2, column 'latency_ms'"),
        ("latency/raspi4.pt", [0, 1.0], "has 0 in row 1, column 'latency_ms'"),
        ("latency/raspi4.pt", ["a", "b"], "a list of numbers.* has 'a' in row 1"),
        ("arch.pt", [[0] * 22, [-1] * 22], "22 operation numbers.* in row 2"),
        ("arch.pt", [[0] * 22, [0.5] * 22], "22 operation numbers.* in row 2"),
        ("hardware_embedding_index.pt", [*range(9), -1], "a list of 10 numbers"),
        ("arch.pt", [[9] * 22], "22 operation numbers"),
        ("arch.pt", [[0] * 21], "22 entries"),
        ("hardware_embedding_index.pt", [1, 2], "a list of 10 numbers"),
    ],
)
def test_damaged_file_is_named(fbnet: Path, file: str, content: Any, named: str) -> None:
    path = write(fbnet, f"help/fbnet/{file}", content)
    with pytest.raises(DataFormatError, match=named) as caught:
        device_pool("fbnet", fbnet)
    assert path.stem in str(caught.value)


def test_cut_off_file_is_refused(fbnet: Path) -> None:
    path = fbnet / "help/fbnet/arch.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataFormatError, match=r"arch\.pt.*Fetch the file again"):
        device_pool("fbnet", fbnet)


def test_absent_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="hwnas data get help"):
        device_pool("fbnet", tmp_path)


def test_foreign_names_are_refused(fbnet: Path) -> None:
    with pytest.raises(UnknownNameError, match="fbnet, mobilenetv3, nasbench201"):
        device_pool("ofa", fbnet)
    with pytest.raises(UnknownNameError, match="Did you mean 'raspi4'"):
        device_pool("fbnet", fbnet).cost_of("raspi5")


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("titan_rtx_256", 256),
        ("titanxp_32", 32),
        ("1080ti_1", 1),
        ("v100_64", 64),
        ("essential_ph_1", 1),
        ("gold_6226", 1),
    ],
)
def test_device_key(name: str, batch: int) -> None:
    key = help_data.help_device_key(name)
    assert (key.device, key.batch) == (name, batch)


@pytest.mark.parametrize("space", help_data.HELP_SPACES)
def test_splits_name_devices_once(space: str) -> None:
    split = help_data.SPLITS[space]
    named = [*split.train, *split.validation, *split.test]
    assert len(named) == len(set(named))
    assert set(named) <= set(help_data.help_devices(space))


def test_dead_layers_are_dropped(tmp_path: Path) -> None:
    entry: dict[str, Any] = {
        "ks": [3] * 20,
        "e": [6] * 20,
        "d": [2, 3, 4, 2, 2],
        "r": np.int64(160),
    }
    entry["ks"][2] = 7  # the third of two layers
    entry["ks"][10] = 5  # the third layer of the third stage
    write(tmp_path, "help/ofa/ofa_archs.pt", {"arch": [entry]})
    (arch,) = help_data.help_archs("mobilenetv3", tmp_path)
    assert str(arch) == ("r160|k3e6,k3e6|k3e6,k3e6,k3e6|k3e6,k3e6,k5e6,k3e6|k3e6,k3e6|k3e6,k3e6")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "space", "devices", "n"),
    [
        ("nasbench201", NasBench201(), 27, 15_625),
        ("fbnet", FBNet(), 27, 5_000),
        ("mobilenetv3", MobileNetV3(width=1.2), 12, 5_000),
    ],
)
def test_published_pools(name: str, space: Any, devices: int, n: int, data_folder: Path) -> None:
    pool = device_pool(name, data_folder)
    assert pool.space == space
    assert pool.costs.shape == (devices, n) == (len(pool.names), len(pool.archs))
    assert len(set(pool.archs)) == n
    assert len(set(map(str, pool.devices))) == devices
    assert len(pool.references) == 10
    assert max(pool.references) < n


@pytest.mark.data
def test_published_brp_nas_pool(data_folder: Path) -> None:
    pool = brp_nas_pool(data_folder)
    assert pool.names == brp_nas_devices()
    assert pool.costs.shape == (14, 15_625)
    there = ~np.isnan(pool.costs)
    # Counts and extremes that the data's description states; extremes in seconds there.
    assert np.count_nonzero(there.all(axis=0)) == 14_749
    assert np.count_nonzero(~there.any(axis=0)) == 341
    i7 = pool.cost_of("desktop-cpu-core-i7-7820x-fp32")
    assert (np.nanmin(i7), np.nanmax(i7)) == pytest.approx((1.021, 9.513), abs=1e-3)
    # As published, this CPU is as fast as a GPU, network by network: one of them ran for both.
    gpu = pool.cost_of("desktop-gpu-gtx-1080ti-fp32")
    both = np.isfinite(i7) & np.isfinite(gpu)
    assert np.median(i7[both] / gpu[both]) == pytest.approx(1.0, abs=0.005)
    assert np.std(np.log(i7[both] / gpu[both])) < 0.035
    assert spearmanr(i7[both], gpu[both]).statistic > 0.997
    assert pool.split is None


@pytest.mark.data
def test_nasbench201_is_in_official_order(data_folder: Path) -> None:
    from hwnas.costs.hw_nas_bench import HwNasBench

    pool = device_pool("nasbench201", data_folder)
    assert pool.archs == tuple(OfficialIndex.load(data_folder).cells)
    for device in ("raspi4", "pixel3", "eyeriss", "fpga"):
        table = HwNasBench("cifar10", device, "latency", data_folder)
        np.testing.assert_array_equal(pool.cost_of(device), table.predict(pool.archs))


@pytest.mark.data
@pytest.mark.parametrize(
    ("device", "least", "most"), [("essential_ph_1", 0.8, 1), ("fpga", -1, 0.1)]
)
def test_a_phone_of_fbnet_changed_its_speed_while_it_was_measured(
    data_folder: Path, device: str, least: float, most: float
) -> None:
    # Errors of rows one after another would not agree if each had been measured alike.
    pool = device_pool("fbnet", data_folder)
    flags = np.column_stack([one_hot(pool.space, pool.archs), np.ones(len(pool.archs))])
    values = np.log(pool.cost_of(device))
    errors = values - flags @ np.linalg.lstsq(flags, values, rcond=None)[0]
    assert least < serial_correlation(errors) < most
    assert speed_changed(errors) == (least > 0)
