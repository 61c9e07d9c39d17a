"""The shipped classes of equal cells are those of the cells' graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import DataFormatError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.nasbench201.cell import SIZE, all_cells, parse_cell
from hwnas.spaces.nasbench201.classes import CellClasses, cell_classes, number


def test_the_file_holds_what_the_graphs_say() -> None:
    shipped, found = cell_classes(), CellClasses.worked_out()
    assert shipped.keys == found.keys
    assert shipped.classes == found.classes
    assert shipped.live == found.live


def test_a_cell_is_found_by_its_place_in_the_order_of_iteration() -> None:
    for place, cell in enumerate(NasBench201()):
        assert number(cell) == place
    assert place == SIZE - 1


def test_paths_through_a_cell_are_those_of_its_graph() -> None:
    for cell in all_cells():
        assert cell_classes().is_connected(cell) == bool(cell.live_edges())


def test_a_text_is_read_once() -> None:
    text = str(all_cells()[-1])
    assert parse_cell(text) is parse_cell(text)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    classes = CellClasses(["00" * 16, "ff" * 16], [1, 0, 1], [False, True, True])
    classes.write(tmp_path / "classes.npz")
    read = CellClasses.read(tmp_path / "classes.npz")
    assert (read.keys, read.classes, read.live) == (classes.keys, classes.classes, classes.live)
    (tmp_path / "classes.npz").write_bytes(b"PK")
    with pytest.raises(DataFormatError, match="damaged"):
        CellClasses.read(tmp_path / "classes.npz")
