"""The classes of equal cells of NAS-Bench-201, looked up in a file instead of worked out.

`python -m benchmarks.structure.cell_classes` writes the file from the cells' graphs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.files.npz import NpzFormat, opened_npz, write_npz
from hwnas.spaces.nasbench201.cell import OPERATIONS, Cell, all_cells, cell_graph

PATH = Path(__file__).with_name("classes.npz")
_FILE = NpzFormat("hwnas cell classes 1", "the table of equal cells", "install hwnas again")
_DIGIT = {operation: digit for digit, operation in enumerate(OPERATIONS)}


@dataclass(frozen=True, eq=False)
class CellClasses:
    """Which cells compute the same function, by the number of the cell.

    Attributes:
        keys: `(5425,)` canonical keys, one a class.
        classes: `(15625,)` class of each cell.
        live: `(15625,)` whether no operation other than `none` is dead.
    """

    keys: Sequence[str]
    classes: Sequence[int]
    live: Sequence[bool]

    def key(self, cell: Cell) -> str:
        """Give the canonical key of a cell."""
        return self.keys[self.classes[number(cell)]]

    def is_live(self, cell: Cell) -> bool:
        """Tell whether no operation other than `none` is dead or unreachable."""
        return self.live[number(cell)]

    def is_connected(self, cell: Cell) -> bool:
        """Tell whether a path of operations joins the input and the output."""
        # Without one all operations are dead, as in the first cell, which has none.
        return self.classes[number(cell)] != self.classes[0]

    def representative(self, cell: Cell) -> Cell:
        """Give the first live cell of the same class."""
        return all_cells()[self._first[self.classes[number(cell)]]]

    @cached_property
    def _first(self) -> dict[int, int]:
        first: dict[int, int] = {}
        for i, (found, live) in enumerate(zip(self.classes, self.live, strict=True)):
            if live:
                first.setdefault(found, i)
        return first

    def write(self, path: str | os.PathLike[str] = PATH) -> None:
        """Write the file."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "keys": np.frombuffer(bytes.fromhex("".join(self.keys)), np.uint8).reshape(-1, 16),
            "classes": np.array(self.classes, dtype=np.uint16),
            "live": np.array(self.live),
        }
        write_npz(path, _FILE, {}, arrays)

    @classmethod
    def read(cls, path: str | os.PathLike[str] = PATH) -> CellClasses:
        """Read a file; `DataFormatError` if it is damaged."""
        with opened_npz(path, _FILE) as (_, arrays):
            keys = [row.tobytes().hex() for row in arrays["keys"]]
            return cls(keys, arrays["classes"].tolist(), arrays["live"].tolist())

    @classmethod
    def worked_out(cls) -> CellClasses:
        """Work the classes out from the cells' graphs, which takes a second or two."""
        cells = all_cells()
        keys = [worked_out_key(cell) for cell in cells]
        classes = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        return cls(list(classes), [classes[key] for key in keys], [c.is_live() for c in cells])


@cache
def cell_classes() -> CellClasses:
    """Read the shipped file once a process."""
    return CellClasses.read()


def number(cell: Cell) -> int:
    """Give the place of a cell in the order of iteration, 0 to 15,624."""
    place = 0
    for operation in cell.operations:
        place = place * len(OPERATIONS) + _DIGIT[operation]
    return place


@cache
def worked_out_key(cell: Cell) -> str:
    """Give the hash of the canonical graph of a cell, without a look-up."""
    live = cell.live_edges()
    kept = Cell(tuple(o if edge in live else "none" for edge, o in cell.edges()))
    # Dead operations are not in the graph: of 15,625 cells, 9,445 are worked out.
    return cell_graph(cell).digest() if kept == cell else worked_out_key(kept)
