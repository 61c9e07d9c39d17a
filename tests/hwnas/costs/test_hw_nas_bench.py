"""HW-NAS-Bench look-ups: small tables and pickles made here, and the published ones."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.costs.hw_nas_bench import OPTIONS, HwNasBench, HwNasBenchSource, metrics_of
from hwnas.costs.source import CostRequest, make_cost
from hwnas.data.hw_nas_bench import COLUMNS, read_table
from hwnas.data.nasbench201 import OfficialIndex
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.files.pinned import sha256
from hwnas.spaces.nasbench201 import Cell, NasBench201, parse_cell
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
INDEX_0 = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)
# Every edge but one has an operation of its own, so a wrong order of edges cannot pass.
MIXED = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|skip_connect~1|nor_conv_3x3~2|"
# NASLib: 0 skip, 1 none, 2 conv 3x3, 3 conv 1x1, 4 pool; edges 0>1, 0>2, 0>3, 1>2, 1>3, 2>3.
NETS = {NONE: (1, 1, 1, 1, 1, 1), INDEX_0: (4, 3, 3, 0, 0, 0), MIXED: (2, 1, 3, 4, 0, 2)}


def numbers(row: int) -> list[float]:
    """Give made-up values: row 2 has 20, 21, …; the Edge TPU has no value in row 1."""
    values = [10.0 * row + column or 0.5 for column in range(10)]
    if row == 1:
        values[3] = -1.0
    return values


def table(nets: Sequence[tuple[int, ...]] = tuple(NETS.values())) -> str:
    lines = [f'"{net}",' + ",".join(map(str, numbers(row))) for row, net in enumerate(nets)]
    return "\n".join([",".join(["net", *COLUMNS]), *lines]) + "\n"


def official(texts: Sequence[str] = tuple(NETS)) -> dict[str, Any]:
    """Lay values out as the official pickle does."""
    rows = [numbers(row) for row in range(len(texts))]
    part: dict[str, Any] = {
        column: [np.float64(row[i]) for row in rows] for i, column in enumerate(COLUMNS)
    }
    part["config"] = [
        {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text, "num_classes": 10}
        for text in texts
    ]
    return {"nasbench201": {"cifar10": part}, "fbnet": {}}


def write_table(folder: Path, text: str, dataset: str = "cifar10") -> Path:
    path = folder / f"hw_nas_bench/hw_{dataset}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_pickle(folder: Path, content: Any) -> Path:
    path = folder / "hw_nas_bench/HW-NAS-Bench-v1_0.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


CELLS = [parse_cell(text) for text in NETS]


@pytest.fixture(params=["table", "pickle", "pickle by index"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "table":
        write_table(tmp_path, table())
        return tmp_path
    content = official()
    if request.param == "pickle by index":
        part = content["nasbench201"]["cifar10"]
        for name, entries in part.items():
            part[name] = {7 * i + 1: entries[i] for i in (2, 0, 1)}
    write_pickle(tmp_path, content)
    return tmp_path


def test_ten_pairs_with_unit_and_direction(folder: Path) -> None:
    expected = {
        ("edgegpu", "latency"): "ms",
        ("edgegpu", "energy"): "mJ",
        ("raspi4", "latency"): "ms",
        ("edgetpu", "latency"): "ms",
        ("pixel3", "latency"): "ms",
        ("eyeriss", "latency"): "ms",
        ("eyeriss", "energy"): "mJ",
        ("eyeriss", "arithmetic_intensity"): "ops/byte",
        ("fpga", "latency"): "ms",
        ("fpga", "energy"): "mJ",
    }
    assert {(o.device, o.metric): o.unit for o in OPTIONS} == expected
    for number, option in enumerate(OPTIONS):
        cost = HwNasBench("cifar10", option.device, option.metric, folder)
        assert cost.predict([CELLS[2]]) == [20.0 + number]
        assert (cost.device.device, cost.metric, cost.unit) == option[:3]
        assert cost.direction == (
            "maximize" if option.metric == "arithmetic_intensity" else "minimize"
        )


def test_exact_cells_in_the_order_asked_for(folder: Path) -> None:
    cost = HwNasBench("cifar10", "raspi4", "latency", folder)
    np.testing.assert_array_equal(
        cost.predict([CELLS[1], CELLS[2], CELLS[1], CELLS[0]]), [12, 22, 12, 2]
    )


def test_minus_one_is_a_missing_value(folder: Path) -> None:
    values = HwNasBench("cifar10", "edgetpu", "latency", folder).predict(CELLS)
    np.testing.assert_array_equal(values, [3.0, np.nan, 23.0])


def test_absent_cell_is_named(folder: Path) -> None:
    other = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    with pytest.raises(DataNotFoundError, match=re.escape(other)):
        HwNasBench("cifar10", "raspi4", "latency", folder).predict([CELLS[0], parse_cell(other)])


def test_provenance_names_the_very_file(folder: Path) -> None:
    provenance = HwNasBench("cifar10", "raspi4", "latency", folder).provenance
    path = Path(provenance["file"])
    assert path.parent == folder / "hw_nas_bench"
    assert provenance["sha256"] == sha256(path)
    assert "HW-NAS-Bench v1.0" in provenance["source"]


def test_table_is_preferred_to_the_pickle(tmp_path: Path) -> None:
    path = write_pickle(tmp_path, official())
    expected = HwNasBench("cifar10", "fpga", "energy", tmp_path).provenance
    assert expected["file"] == str(path)
    assert HwNasBench("cifar10", "fpga", "energy", file=path).provenance == expected
    write_table(tmp_path, table())
    assert HwNasBench("cifar10", "fpga", "energy", tmp_path).provenance["file"].endswith(".csv")


def test_data_sets_are_told_apart(tmp_path: Path) -> None:
    write_table(tmp_path, table())
    write_table(tmp_path, table(tuple(NETS.values())[::-1]), "cifar100")
    values = [
        HwNasBench(d, "fpga", "latency", tmp_path).predict([CELLS[0]])[0]
        for d in ("cifar10", "cifar100")
    ]
    assert values == [8.0, 28.0]
    with pytest.raises(DataNotFoundError, match="hwnas data get hw-nas-bench"):
        HwNasBench("ImageNet16-120", "fpga", "latency", tmp_path)


def test_equal_costs_are_equal_values(tmp_path: Path) -> None:
    write_table(tmp_path, table())
    one, other = (HwNasBench("cifar10", "fpga", m, tmp_path) for m in ("latency", "energy"))
    assert one == HwNasBench("cifar10", "fpga", "latency", tmp_path)
    assert len({one, HwNasBench("cifar10", "fpga", "latency", tmp_path), other}) == 2
    assert pickle.loads(pickle.dumps(one)).predict(CELLS).tolist() == one.predict(CELLS).tolist()


def test_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    write_table(tmp_path, table())
    first = read_table("cifar10", tmp_path)
    assert read_table("cifar10", tmp_path) is first
    write_table(tmp_path, table(tuple(NETS.values())[:2]))
    assert len(read_table("cifar10", tmp_path).archs) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("cifar11", "fpga", "latency"), "Did you mean 'cifar10'"),
        (("cifar10", "edge-gpu", "latency"), "Did you mean 'edgegpu'"),
        (("cifar10", "raspi4", "energy"), "`metric of raspi4` must be one of latency"),
        (("cifar10", "fpga", "latencey"), "Did you mean 'latency'"),
    ],
)
def test_unknown_names(tmp_path: Path, arguments: tuple[str, str, str], named: str) -> None:
    write_table(tmp_path, table())
    with pytest.raises(UnknownNameError, match=named):
        HwNasBench(*arguments, folder=tmp_path)


def test_metrics_of_a_device() -> None:
    assert metrics_of("eyeriss") == ("latency", "energy", "arithmetic_intensity")
    assert metrics_of("pixel3") == ("latency",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "whole lines"),
        (table()[:-8], "a last line that is cut off"),
        (table().replace("fpga_energy", "fpga_latency"), "must hold each column once"),
        (table().replace("20.0", "-20.0"), "has -20 in row 3, column 'edgegpu_latency'"),
        (table().replace("20.0", "0"), "has 0 in row 3, column 'edgegpu_latency'"),
        (table().replace("20.0", "inf"), "has inf in row 3, column 'edgegpu_latency'"),
        (table().replace("21.0", "-1"), "has -1 in row 3, column 'edgegpu_energy'"),
        (table()[:-30], "a value is missing|cut off"),
        (table().replace("fpga_energy", "other"), "has no fpga_energy"),
        (table().replace("20.0", "twenty"), "reading it failed"),
        (table().replace("20.0", ""), "a value is missing"),
        (table().replace("(2, 1, 3", "(2, 5, 3"), "something else than six operations"),
        (table().replace("(2, 1, 3", "(2, 3"), "something else than six operations"),
        (table().replace("(4, 3, 3, 0, 0, 0)", "(1, 1, 1, 1, 1, 1)"), "a cell occurs twice"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, named: str) -> None:
    write_table(tmp_path, text)
    with pytest.raises(DataFormatError, match=named) as caught:
        HwNasBench("cifar10", "fpga", "latency", tmp_path)
    assert "hwnas data verify hw-nas-bench" in str(caught.value)


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    del content["nasbench201"]["cifar10"][key]
    return content


def _shorter(content: dict[str, Any], key: str) -> dict[str, Any]:
    content["nasbench201"]["cifar10"][key].pop()
    return content


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "its layout is another one"),
        ({"nasbench201": {}}, "its layout is another one"),
        (_without(official(), "fpga_energy"), "fpga_energy"),
        (_without(official(), "config"), "config"),
        (_shorter(official(), "fpga_energy"), "layout is another one"),
        (_shorter(official(), "config"), "3.* values for 2 cells"),
        (official(["|conv~0|"]), "3 nodes"),
        (official([NONE, NONE]), "a cell occurs twice"),
    ],
)
def test_damaged_pickles_are_refused(tmp_path: Path, content: Any, named: str) -> None:
    write_pickle(tmp_path, content)
    with pytest.raises(DataFormatError, match=named):
        HwNasBench("cifar10", "fpga", "latency", tmp_path)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"other\.pickle"):
        HwNasBench(file=tmp_path / "other.pickle")


def test_source_makes_what_is_asked_for(tmp_path: Path) -> None:
    write_table(tmp_path, table())
    cost = make_cost("hw-nas-bench:eyeriss:energy", NasBench201(), get_task("cifar10"), tmp_path)
    assert cost == HwNasBench("cifar10", "eyeriss", "energy", tmp_path)
    request = CostRequest(NasBench201(), None, None, get_task("cifar10"), tmp_path)
    assert HwNasBenchSource().make(request) == HwNasBench("cifar10", "edgegpu", "latency", tmp_path)


def test_source_refuses_other_spaces(tmp_path: Path) -> None:
    write_table(tmp_path, table())
    with pytest.raises(InvalidValueError, match=r"channels=8.*choose another cost source"):
        make_cost("hw-nas-bench", NasBench201(channels=8), get_task("cifar10"), tmp_path)


@pytest.mark.data
class TestPublished(CostModelContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return NasBench201()

    @pytest.fixture(params=OPTIONS, ids=lambda o: f"{o.device}-{o.metric}")
    def cost(self, request: pytest.FixtureRequest, data_folder: Path) -> HwNasBench:
        return HwNasBench("cifar10", request.param.device, request.param.metric, data_folder)


@pytest.mark.data
def test_published_values_of_index_0(data_folder: Path) -> None:
    """The numbers that the publication's own README prints."""
    printed = {
        ("edgegpu", "latency"): 5.807418537139893,
        ("edgegpu", "energy"): 24.226614330768584,
        ("raspi4", "latency"): 10.481976820010459,
        ("edgetpu", "latency"): 0.9571811309997429,
        ("pixel3", "latency"): 3.6058499999999998,
        ("eyeriss", "latency"): 3.645620000000001,
        ("eyeriss", "energy"): 0.6872827644999999,
        ("fpga", "latency"): 2.57296,
        ("fpga", "energy"): 18.01072,
    }
    for (device, metric), value in printed.items():
        cost = HwNasBench("cifar10", device, metric, data_folder)
        assert cost.predict([parse_cell(INDEX_0)]) == [value]


@pytest.mark.data
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "ImageNet16-120"])
def test_names_and_official_index_agree(data_folder: Path, dataset: str) -> None:
    cells: Sequence[Cell] = OfficialIndex.load(data_folder).cells
    by_position = np.loadtxt(
        data_folder / f"hw_nas_bench/hw_{dataset}.csv",
        delimiter=",",
        skiprows=1,
        usecols=range(1, 11),
        quotechar='"',
    )
    for column, option in enumerate(OPTIONS):
        found = HwNasBench(dataset, option.device, option.metric, data_folder).predict(cells)
        expected = np.where(by_position[:, column] == -1, np.nan, by_position[:, column])
        np.testing.assert_array_equal(found, expected)
        assert np.isnan(found).sum() == (4_699 if option.device == "edgetpu" else 0)


@pytest.mark.data
def test_reading_takes_few_calls_a_cell(data_folder: Path, tmp_path: Path) -> None:
    copy = write_table(tmp_path, (data_folder / "hw_nas_bench/hw_cifar10.csv").read_text())
    calls = 0

    def counted(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        HwNasBench(file=copy)
    finally:
        sys.setprofile(before)
    # A fifth of a second; it was 31 calls a cell when this was written.
    assert calls < 40 * 15_625
