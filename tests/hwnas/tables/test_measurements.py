"""What stands beside the costs in a file of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.measurements import read_measurements

SPACE = NasBench201()
CELLS = [str(SPACE.sample(np.random.default_rng(i))) for i in range(4)]
MS = [7.588, 5.588, 8.392, 3.884]


def write(folder: Path, **columns: Any) -> Path:
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]  # noqa: B905
    path = folder / "m.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "X"])
@pytest.mark.parametrize("start", [0, 1])
def test_row_numbers_are_no_costs(tmp_path: Path, name: str, start: int) -> None:
    columns: dict[str, Any] = {name: range(start, start + 4), "arch": CELLS, "latency_ms": MS}
    path = write(tmp_path, **columns)
    table = read_measurements(path, SPACE)
    assert table.of("latency", "ms").tolist() == MS
    assert (table.names, table.left_out) == (["latency_ms"], [name])


def test_costs_that_count_the_rows_are_costs(tmp_path: Path) -> None:
    path = write(tmp_path, arch=[*CELLS], latency_ms=[1, 2, 3, 4])
    assert read_measurements(path, SPACE).columns["latency_ms"].tolist() == [1, 2, 3, 4]


def test_a_column_without_a_name_is_named_by_its_first_value(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"arch": CELLS, "latency_ms": MS, "": [9, 8, 7, 6]}
    path = write(tmp_path, **columns)
    table = read_measurements(path, SPACE)
    assert table.of("latency", "ms").tolist() == MS
    with pytest.raises(DataFormatError, match="begins with '9' has no name"):
        table.insist_on("ms")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("device", ["lab-board"] * 4),
        ("comment", ["", "hot", "", ""]),
        ("latency_std_ms", [0.0] * 4),
        ("std", [0.1] * 4),
    ],
)
def test_texts_and_deviations_are_left_alone(
    tmp_path: Path, name: str, values: list[object]
) -> None:
    table = read_measurements(
        write(tmp_path, arch=[*CELLS], latency_ms=[*MS], **{name: values}), SPACE
    )
    assert table.of("latency", "ms").tolist() == MS
    assert list(table.columns) == ["latency_ms"]
    assert table.left_out == [name]


def test_a_text_among_costs_is_named_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, arch=[*CELLS], a_ms=[*MS], b_ms=[1, 2, "failed", 4])
    table = read_measurements(path, SPACE)
    assert table.costs("a_ms").tolist() == MS
    with pytest.raises(DataFormatError, match=r"Line 4 of .*, column 'b_ms': .*failed"):
        table.costs("b_ms")


def test_without_any_cost_there_is_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, arch=[*CELLS], device=["board"] * 4)
    with pytest.raises(InvalidValueError, match="a column of costs"):
        read_measurements(path, SPACE).insist_on("ms")


def test_lost_rows_of_a_counted_file_are_found(tmp_path: Path) -> None:
    path = write(tmp_path, arch=[*CELLS], latency_ms=[*MS], rows_left=[3, 2, 1, 0])
    assert read_measurements(path, SPACE).names == ["latency_ms"]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataFormatError, match="cut off or has lost rows"):
        read_measurements(path, SPACE)


def test_the_column_may_be_called_architecture(tmp_path: Path) -> None:
    table = read_measurements(write(tmp_path, architecture=CELLS, latency_ms=MS), SPACE)
    assert [str(arch) for arch in table.archs] == CELLS
    assert table.names == ["latency_ms"]
    both = write(tmp_path, arch=CELLS, architecture=CELLS, latency_ms=MS)
    with pytest.raises(DataFormatError, match="each column once"):
        read_measurements(both, SPACE)
