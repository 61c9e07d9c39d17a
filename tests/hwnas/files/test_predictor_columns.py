"""Several costs in a predictor file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import DataFormatError, InvalidValueError, UnknownNameError
from hwnas.files.predictor_columns import join, read_column, read_columns, split
from hwnas.files.predictor_file import Facts, PredictorFile
from hwnas.typing import DeviceKey

KEY = DeviceKey("board", "ort", "int8", 4, 2)


def column(metric: str, unit: str, number: float) -> PredictorFile:
    facts = Facts("Space()", metric, unit, "minimize", KEY, "data")
    arrays = {"means": np.full(3, number), "more": np.array([number])}
    return PredictorFile("transfer", facts, {"power": number, "extra": []}, arrays)


@pytest.fixture
def columns() -> dict[str, PredictorFile]:
    return {"latency_ms": column("latency", "ms", 1.5), "energy_mj": column("energy", "mJ", 2.5)}


def test_columns_come_back_as_they_were(columns: dict[str, PredictorFile], tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    join(columns).write(path)
    found = read_columns(path)
    assert list(found) == list(columns)
    one = read_column(Path(f"{path}:energy_mj"))
    pairs = zip([*found.values(), one], [*columns.values(), columns["energy_mj"]], strict=True)
    for got, wanted in pairs:
        assert (got.kind, got.facts, got.settings) == (wanted.kind, wanted.facts, wanted.settings)
        assert list(got.arrays) == list(wanted.arrays)
        for name, array in wanted.arrays.items():
            np.testing.assert_array_equal(got.arrays[name], array)


def test_a_file_of_one_cost_needs_no_column(
    columns: dict[str, PredictorFile], tmp_path: Path
) -> None:
    path = tmp_path / "one.npz"
    columns["energy_mj"].write(path)
    assert read_column(path).facts == columns["energy_mj"].facts
    with pytest.raises(InvalidValueError, match="leave the column out"):
        read_column(Path(f"{path}:energy_mj"))


def test_a_column_must_be_named_as_it_is(columns: dict[str, PredictorFile], tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    join(columns).write(path)
    with pytest.raises(InvalidValueError, match=r"FILE:COLUMN.*latency_ms, energy_mj"):
        read_column(path)
    with pytest.raises(UnknownNameError, match="energy_mj"):
        read_column(Path(f"{path}:energy_mJ"))


@pytest.mark.parametrize(
    "settings",
    [{}, {"columns": {}}, {"columns": []}, {"columns": {"a": {}}}, {"columns": {"a": 3}}],
)
def test_damaged_columns_are_told(
    columns: dict[str, PredictorFile], settings: dict[str, object]
) -> None:
    with pytest.raises(DataFormatError):
        split(replace(join(columns), settings=settings))


def test_columns_are_of_one_space(columns: dict[str, PredictorFile]) -> None:
    other = columns["energy_mj"]
    columns["energy_mj"] = replace(other, facts=replace(other.facts, space="Other()"))
    with pytest.raises(DataFormatError, match="of another kind or space"):
        split(join(columns))
