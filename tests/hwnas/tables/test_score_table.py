from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas.cli.table_file import write_table
from hwnas.errors import (
    DataFormatError,
    HwnasError,
    InvalidArchitectureError,
    InvalidValueError,
)
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.tables.accuracy_file import AccuracyFile
from hwnas.tables.score_table import read_scores

SPACE = NasBench201()
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
OTHER = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def write(folder: Path, *lines: str) -> Path:
    file = folder / "scores.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_table_with_a_gap_a_repeated_row_and_a_foreign_column(tmp_path: Path) -> None:
    lines = [f"{CELL},1.5,,x", f"{OTHER},inf,7,x", f"{CELL},1.5,,x"]
    notes: list[str] = []
    file = write(tmp_path, "arch,naswot,params,mine", *lines)
    table = read_scores(file, SPACE, note=notes.append)
    assert table.archs == [parse_cell(CELL), parse_cell(OTHER)]
    assert list(table.columns) == ["params", "naswot"]
    np.testing.assert_array_equal(table.columns["naswot"], [1.5, np.inf])
    np.testing.assert_array_equal(table.columns["params"], [np.nan, 7])
    assert table.origin == "scores of scores.csv"
    assert notes == [
        "columns left alone, as they are no proxies wanted: mine.",
        "1 repeated rows were left out.",
        f"{file} does not count its rows: whether it is whole is not known.",
    ]


def test_wanted_proxies(tmp_path: Path) -> None:
    file = write(tmp_path, "arch,naswot,params,seconds,key", f"{CELL},1,2,3,4")
    notes: list[str] = []
    table = read_scores(file, SPACE, ["params"], notes.append)
    assert list(table.columns) == ["params"]
    assert notes[0].endswith("no proxies wanted: naswot.")
    with pytest.raises(
        InvalidValueError, match="synflow is missing: there are architecture, naswot"
    ):
        read_scores(file, SPACE, ["synflow"])


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    file = tmp_path / "scores.parquet"
    pd.DataFrame({"arch": [CELL], "params": [3]}).to_parquet(file)
    assert read_scores(file, SPACE).columns["params"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (["params", "1"], InvalidValueError, "architecture is missing"),
        (["arch,accuracy", f"{CELL},1"], InvalidValueError, "any proxy is missing"),
        (["arch,params"], DataFormatError, "0 different rows"),
        (
            ["arch,params", f"{CELL},1", f"{CELL},2"],
            DataFormatError,
            "2 different rows of 1 arch",
        ),
        (["arch,params", f"{CELL},many"], DataFormatError, "numbers in the column params"),
        (["arch,params", f"{CELL},1", "cell,1"], InvalidArchitectureError, "row 2: An arch"),
        (["arch,params", ",1"], InvalidArchitectureError, "row 1: An arch"),
    ],
)
def test_bad_tables(lines: list[str], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        read_scores(write(tmp_path, *lines), SPACE)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "scores.xlsx", "empty.csv"])
def test_files_that_are_no_table(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InvalidValueError, match="`scores` must"):
        read_scores(tmp_path / name, SPACE)


def test_every_cut_of_a_counted_table_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    rows = [{"arch": c, "params": 372346 + i} for i, c in enumerate((CELL, OTHER))]
    file = tmp_path / "scores.csv"
    write_table(rows, file)
    notes: list[str] = []
    whole = read_scores(file, SPACE, note=notes.append)
    assert notes == []
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        try:
            found = read_scores(file, SPACE)
        except HwnasError:
            continue
        # The line end alone may be lost, and then every value is there.
        assert length == len(content) - 1
        assert found.archs == whole.archs
        np.testing.assert_array_equal(found.columns["params"], [372346, 372347])


def test_a_sorted_table_is_whole_and_one_with_deleted_rows_is_not(tmp_path: Path) -> None:
    header = "arch,params,rows_left"
    lines = [f"{OTHER},7,0", f"{CELL},9,1"]
    assert read_scores(write(tmp_path, header, *lines), SPACE).columns["params"].tolist() == [7, 9]
    with pytest.raises(DataFormatError, match=r"cut off or has lost rows: .* delete the column"):
        read_scores(write(tmp_path, header, lines[1]), SPACE)


def test_a_table_from_before_is_read_and_not_known_to_be_whole(tmp_path: Path) -> None:
    file = write(tmp_path, "arch,params", f"{CELL},372346")
    notes: list[str] = []
    read_scores(file, SPACE, note=notes.append)
    assert notes == [f"{file} does not count its rows: whether it is whole is not known."]
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(DataFormatError, match="its last line may be cut off"):
        read_scores(file, SPACE)


@pytest.mark.parametrize("header", ["arch,params,params", "arch,arch,params"])
def test_doubled_columns_are_refused(header: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="each column once"):
        read_scores(write(tmp_path, header, f"{CELL},1,2"), SPACE)


def test_truth_values_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="numbers in the column params"):
        read_scores(write(tmp_path, "arch,params", f"{CELL},True", f"{OTHER},False"), SPACE)


def test_the_column_may_be_called_architecture(tmp_path: Path) -> None:
    cell = str(SPACE.sample(np.random.default_rng(0)))
    path = write(tmp_path, "architecture,naswot", f"{cell},1.5")
    table = read_scores(path, SPACE)
    assert [str(arch) for arch in table.archs] == [cell]
    assert table.columns["naswot"].tolist() == [1.5]


def accuracies(folder: Path, *rows: str) -> dict[str, float]:
    return AccuracyFile.read(write(folder, "architecture,accuracy", *rows), SPACE).known


def test_rows_that_a_spreadsheet_left_empty_are_none(tmp_path: Path) -> None:
    known = accuracies(tmp_path, f"{CELL},70.5", ",", f"{OTHER},60", ",")
    assert known == {CELL: 70.5, OTHER: 60.0}
    with pytest.raises(InvalidArchitectureError, match=r"row 3: .*'wrong'"):
        accuracies(tmp_path, f"{CELL},70.5", ",", "wrong,60")
    with pytest.raises(DataFormatError, match=r"column accuracy, but row 4 has 'many'\."):
        accuracies(tmp_path, f"{CELL},70.5", ",", ",", f"{OTHER},many")
    with pytest.raises(InvalidArchitectureError, match=r"row 2: .*''"):
        accuracies(tmp_path, f"{CELL},70.5", ",60", f"{OTHER},60")


def test_parts_of_one_are_no_percentages(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"the largest is 0\.705: multiply them by 100"):
        accuracies(tmp_path, f"{CELL},0.705", f"{OTHER},0.6")
    assert accuracies(tmp_path, f"{CELL},1.2", f"{OTHER},0.6") == {CELL: 1.2, OTHER: 0.6}


def of_the_script(folder: Path, *rows: tuple[str, float, dict[str, object]]) -> dict[str, float]:
    with (folder / "accuracy.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["architecture", "accuracy", "settings"])
        writer.writerows([arch, value, json.dumps(settings)] for arch, value, settings in rows)
    return AccuracyFile.read(folder / "accuracy.csv", SPACE).known


def test_low_percentages_of_the_training_script_are_no_parts_of_one(tmp_path: Path) -> None:
    same: dict[str, object] = {"epochs": 30, "data": "1f"}
    found = of_the_script(tmp_path, (CELL, 0.7, same), (OTHER, 0.0, same))
    assert found == {CELL: 0.7, OTHER: 0.0}


def test_settings_of_one_s_own_say_nothing_of_percentages(tmp_path: Path) -> None:
    lines = ["architecture,accuracy,settings", f"{CELL},0.7,short", f"{OTHER},0.6,short", ""]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    with pytest.raises(DataFormatError, match="multiply them by 100"):
        AccuracyFile.read(tmp_path / "mine.csv", SPACE)


def test_accuracies_on_two_data_sets_are_not_mixed(tmp_path: Path) -> None:
    first: dict[str, object] = {"epochs": 30, "data": "1f"}
    with pytest.raises(InvalidValueError, match=r"2 different `settings` \(data\): keep the rows"):
        of_the_script(tmp_path, (CELL, 70.5, first), (OTHER, 60, {**first, "data": "2e"}))
