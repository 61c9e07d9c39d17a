"""Choosing of rows and columns, and look-up, against what is written down by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.tables.table import Table

BY_ARCH = Table(
    ["a", "b", "c"], {"x": np.array([1.0, np.nan, 3.0]), "y": np.array([4.0, 5.0, 6.0])}
)
BY_KEY = Table(["a", "b", "c"], BY_ARCH.columns, ["k", "l", "m"], "here")


def test_values_are_looked_up_by_architecture_or_by_key() -> None:
    np.testing.assert_array_equal(
        BY_ARCH.values("x", ["c", "b", "k", "a", "c"]), [3, np.nan, np.nan, 1, 3]
    )
    np.testing.assert_array_equal(BY_KEY.values("y", ["l", "b", "m"]), [5, np.nan, 6])
    assert BY_KEY.values("y", []).shape == (0,)
    assert BY_KEY.rows == {"k": 0, "l": 1, "m": 2}


def test_of_equal_architectures_the_last_counts() -> None:
    assert Table(["a", "a"], {"x": np.array([1.0, 2.0])}).values("x", ["a"]).tolist() == [2]


def test_rows_are_taken_with_all_that_belongs_to_them() -> None:
    part = BY_KEY.take([2, 0])
    assert (part.archs, part.keys, part.origin) == (["c", "a"], ["m", "k"], "here")
    assert {name: values.tolist() for name, values in part.columns.items()} == {
        "x": [3, 1],
        "y": [6, 4],
    }
    # What the whole table looked up before does not stay with its part.
    assert part.rows == {"m": 0, "k": 1}
    assert BY_ARCH.take([]).columns["x"].shape == (0,)
    with pytest.raises(IndexError):
        BY_ARCH.take([3])


def test_columns_are_chosen_in_their_order() -> None:
    assert list(BY_ARCH.select(["y", "x"]).columns) == ["y", "x"]
    assert list(BY_KEY.select(["y"]).columns) == ["y"]
    assert BY_KEY.select(["y"]).keys == BY_KEY.keys
    for call in (BY_ARCH.column, lambda name: BY_ARCH.select([name])):
        with pytest.raises(UnknownNameError, match="column"):
            call("z")


def test_shuffling_keeps_rows_together_and_depends_on_the_seed_alone() -> None:
    n = 50
    x = np.arange(n, dtype=np.float64) * 2
    table = Table(list(range(n)), {"x": x}, [f"k{i}" for i in range(n)])
    first, again, other = (table.shuffled(seed) for seed in (1, 1, 2))
    assert first.archs == again.archs != other.archs
    assert sorted(first.archs) == list(range(n)) != first.archs
    assert first.columns["x"].tolist() == [2.0 * i for i in first.archs]
    assert first.keys == [f"k{i}" for i in first.archs]


@pytest.mark.parametrize(
    ("columns", "keys"),
    [({"x": [1.0]}, None), ({"x": [[1.0, 2.0]]}, None), ({"x": [1.0, 2.0]}, ["k"])],
)
def test_other_lengths_are_refused(columns: dict[str, list[float]], keys: list[str] | None) -> None:
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    with pytest.raises(InvalidValueError, match="one value for each of the 2 architectures"):
        Table(["a", "b"], arrays, keys)


def test_a_table_goes_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(BY_KEY))
    np.testing.assert_array_equal(copy.values("x", ["k", "l"]), [1, np.nan])
