from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.pareto import Baseline, ObjectiveInfo, ParetoSet
from hwnas.pareto.json_csv import member_rows, read_json, write_csv, write_json

OBJECTIVES = (ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("energy_mj", "mJ", "minimize"))


def example() -> ParetoSet:
    return ParetoSet.from_values(
        ["|a~0|", 'b,"ü"', "c", "d"],
        ["ka", "kb", "kc", "kd"],
        [[0.1 + 0.2, 1e-300], [5e-324, 0.0], [1.0, math.nan], [math.inf, 2.0]],
        OBJECTIVES,
        space="toy(x=1)",
        attributes=[
            {"params": 12, "shape": [1, 2], "architecture": "taken"},
            {"params": None, "proxy": math.nan},
            {},
            {},
        ],
        provenance={"seed": 3, "versions": {"numpy": "2"}, "spread": -math.inf},
    )


def test_json_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "new" / "front.json"
    example().save(path)
    assert ParetoSet.load(path) == example()
    assert [p.name for p in path.parent.iterdir()] == ["front.json"]


def test_an_empty_set_comes_back(tmp_path: Path) -> None:
    empty = ParetoSet.from_values([], [], [], OBJECTIVES, space="toy")
    empty.save(tmp_path / "f.json")
    assert ParetoSet.load(tmp_path / "f.json") == empty


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=6))
def test_any_numbers_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]
) -> None:
    path = tmp_path_factory.mktemp("json") / "f.json"
    names = [str(i) for i in range(len(rows))]
    found = ParetoSet.from_values(names, names, rows, OBJECTIVES, space="toy")
    write_json(found, path)
    assert read_json(path) == found


def test_missing_values_are_null(tmp_path: Path) -> None:
    example().save(tmp_path / "f.json")
    text = (tmp_path / "f.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    document = json.loads(text)
    assert document["provenance"]["spread"] is None
    assert [row["values"] for row in document["evaluated"]][2:] == [[1.0, None], [None, 2.0]]


def test_every_truncation_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    example().save(whole)
    content = whole.read_bytes().rstrip()
    path = tmp_path / "cut.json"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataFormatError) as caught:
            read_json(path)
        assert "\n" not in str(caught.value)
        assert "cut.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\x89PNG\r\n\xff", "not UTF-8"),
        (b"[1, 2]", "does not say"),
        (b'{"format": "other"}', "does not say"),
        (b'{"format": "hwnas.pareto_set", "schema": 99}', "read it with a newer hwnas"),
        (b'{"format": "hwnas.pareto_set", "schema": 1}', "no 'space'"),
        (b'{"format": "hwnas.pareto_set", "schema": 1, "space": NaN}', "NaN is not JSON"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "front.json"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=message):
        read_json(path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("objectives", []),
        ("objectives", [{"name": "x", "unit": "", "direction": "up"}]),
        ("members", [{"arch": "a", "key": "k", "values": [1.0], "attributes": {}}]),
        ("members", [{"arch": "a", "key": "k", "values": [1.0, None], "attributes": {}}]),
        ("members", [{"arch": "a", "key": "k", "values": [1.0, "2"], "attributes": {}}]),
        ("members", [{"arch": "a", "key": "k", "values": [1.0, 10**400], "attributes": {}}]),
        ("members", [{"arch": 7, "key": "k", "values": [1.0, 2.0], "attributes": {}}]),
        ("members", 3),
        ("evaluated", [{"arch": "a", "key": "k", "values": [1.0, 2.0], "status": "lost"}]),
        ("provenance", 3),
    ],
)
def test_damaged_parts_are_refused(tmp_path: Path, part: str, value: object) -> None:
    path = tmp_path / "front.json"
    example().save(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {part: value}), encoding="utf-8")
    with pytest.raises(DataFormatError, match="is damaged"):
        read_json(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"there is no .*gone\.json"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(DataFormatError, match="directory"):
        read_json(tmp_path)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "front.json"
    example().save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    other = ParetoSet.from_values([], [], [], OBJECTIVES, space="other")
    with pytest.raises(InvalidValueError, match="No space left on device"):
        other.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["front.json"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValueError, match="`path` must be writable"):
        example().save(tmp_path / "file" / "front.json")


def test_a_file_of_schema_1_which_calls_an_architecture_arch_is_read() -> None:
    """The file is this set as commit f989bd4 wrote it."""
    kept = Path(__file__).parents[2] / "kept/front_schema_1.json"
    document = json.loads(kept.read_text(encoding="utf-8"))
    assert document["schema"] == 1
    assert [row["arch"] for row in document["members"]] == ["|a~0|", 'b,"ü"']
    baseline = Baseline("mine:net", (0.2, None), {"energy_mj": "no table"})
    assert ParetoSet.load(kept) == replace(example(), baseline=baseline)


def test_csv_has_one_row_a_member_with_every_digit(tmp_path: Path) -> None:
    write_csv(example(), tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [
        "architecture",
        "key",
        "score",
        "energy_mj",
        "params",
        "shape",
        "attributes.architecture",
        "proxy",
    ]
    assert rows[1:] == [
        ["|a~0|", "ka", "0.30000000000000004", "1e-300", "12", "[1, 2]", "taken", ""],
        ['b,"ü"', "kb", "5e-324", "0.0", "", "", "", ""],
    ]


def test_csv_says_what_each_cost_belongs_to(tmp_path: Path) -> None:
    key = "cpu/onnxruntime-1.32.0/int8/b4/t2"
    made = replace(
        example(), provenance={"costs": [{"objective": "energy_mj", "device": key, "unit": "mJ"}]}
    )
    write_csv(made, tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["energy_mj.device"] for row in rows] == [key, key]
    assert "score.device" not in rows[0]
    assert made.to_dataframe()["energy_mj.device"].tolist() == [key, key]


def test_rows_for_json_lines_name_objectives_and_units() -> None:
    first, second = member_rows(example())
    assert first == {
        "architecture": "|a~0|",
        "key": "ka",
        "score": 0.1 + 0.2,
        "energy_mj": 1e-300,
        "units": {"score": "", "energy_mj": "mJ"},
        "directions": {"score": "maximize", "energy_mj": "minimize"},
        "attributes": {"params": 12, "shape": [1, 2], "architecture": "taken"},
    }
    assert second["attributes"] == {"params": None, "proxy": None}
