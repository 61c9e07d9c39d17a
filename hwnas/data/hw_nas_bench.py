"""Reading the files of HW-NAS-Bench v1.0: the tables of one data set, or the official pickle.

The tables name cells by NASLib's tuples, the pickle by architecture strings. Both are converted
by the names of operations and edges, never by the position of a row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.catalogue import find, require
from hwnas.data.checks import is_number, read_whole_csv, require_costs
from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.spaces.nasbench201 import EDGES, Cell, parse_cell
from hwnas.tables.table import Table
from hwnas.typing import FloatArray

COLUMNS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
)
PICKLE = "hw_nas_bench/HW-NAS-Bench-v1_0.pickle"

# The Edge TPU ran some cells only.
_NO_VALUE, _WITH_GAPS = -1.0, "edgetpu_latency"
# NASLib's numbers of the operations and its order of the edges, as the column `net` uses them.
_NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_NET_PATTERN = r"\([0-4](?:, [0-4]){5}\)"


def table_file(dataset: str, folder: Path | None = None, file: Path | None = None) -> Path:
    """Find the file that `read_table` reads.

    Raises:
        DataNotFoundError: no such file.
    """
    if file is not None:
        if not file.is_file():
            raise DataNotFoundError(f"`file` must exist, but {file} does not.")
        return file.absolute()
    table = f"hw_nas_bench/hw_{dataset}.csv"
    return (find(table, folder) or find(PICKLE, folder) or require(table, folder)).absolute()


def read_table(dataset: str, folder: Path | None = None, file: Path | None = None) -> Table[Cell]:
    """Read the costs of all cells on one data set; once a process while the file is unchanged.

    The columns are those of `COLUMNS`, and cells are looked up exactly.

    Args:
        dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
        folder: data folder; None for the default one. The table of the data set is preferred
            to the official pickle.
        file: a table or the official pickle itself, instead of a file of the data folder.

    Raises:
        DataNotFoundError: no such file.
        DataFormatError: the file is damaged or is something else.
    """
    path = table_file(dataset, folder, file)
    stat = os.stat(path)
    return _read(path, dataset, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=6)
def _read(path: Path, dataset: str, changed: int, size: int) -> Table[Cell]:
    """Read a file once a process; a changed file is read again."""
    del changed, size
    cells, values = _read_csv(path) if path.suffix == ".csv" else _read_pickle(path, dataset)
    if len(set(cells)) != len(cells):
        raise _damaged(path, "a cell occurs twice")
    if np.isnan(values).any():
        row, column = np.argwhere(np.isnan(values))[0].tolist()
        raise _damaged(path, f"a value is missing in row {row + 1}, column {COLUMNS[column]!r}")
    tpu = values[:, COLUMNS.index(_WITH_GAPS)]
    tpu[tpu == _NO_VALUE] = np.nan
    require_costs(values, COLUMNS, path, "hw-nas-bench")
    columns = dict(zip(COLUMNS, values.T.copy(), strict=True))
    return Table(cells, columns, origin=f"HW-NAS-Bench v1.0, {path.name}")


def _damaged(path: Path, reason: str) -> DataFormatError:
    return DataFormatError(
        f"`{path}` must be a complete file of HW-NAS-Bench v1.0, but {reason}: check it with "
        f"`hwnas data verify hw-nas-bench`."
    )


def _read_csv(path: Path) -> tuple[list[Cell], FloatArray]:
    texts = read_whole_csv(path, "hw-nas-bench", ("net", *COLUMNS))
    try:
        columns = [[float(cell or "nan") for cell in texts[column]] for column in COLUMNS]
    except ValueError as error:
        raise _damaged(path, f"reading it failed ({error})") from error
    return _naslib_cells(path, texts["net"]), np.array(columns, dtype=np.float64).T.copy()


def _naslib_cells(path: Path, nets: Sequence[str]) -> list[Cell]:
    """Convert NASLib's tuples, `(n,)` texts, by the names of operations and edges."""
    if not all(re.fullmatch(_NET_PATTERN, net) for net in nets):
        raise _damaged(path, "the column `net` holds something else than six operations")
    digit = [1 + 3 * _NASLIB_EDGES.index(edge) for edge in EDGES]
    return [Cell(tuple(_NASLIB_OPERATIONS[int(net[at])] for at in digit)) for net in nets]


def _read_pickle(path: Path, dataset: str) -> tuple[list[Cell], FloatArray]:
    content: Any = load_pickle(path)
    try:
        part: Mapping[str, Any] = content["nasbench201"][dataset]
        config = part["config"]
        indices = sorted(config) if isinstance(config, Mapping) else range(len(config))
        cells = [parse_cell(_text(config[i]["arch_str"])) for i in indices]
        columns = [[part[column][i] for i in indices] for column in COLUMNS]
        lengths = {len(part[column]) for column in COLUMNS}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(path, f"its layout is another one ({error!r})") from error
    if lengths != {len(cells)}:
        raise _damaged(path, f"it has {sorted(lengths)} values for {len(cells)} cells")
    return cells, np.array([_column(path, *c) for c in zip(columns, COLUMNS, strict=True)]).T


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _column(path: Path, values: list[Any], name: str) -> FloatArray:
    """Give the `(n,)` numbers of a column, whatever they are."""
    for row, value in enumerate(values, start=1):
        if not is_number(value):
            raise _damaged(path, f"row {row}, column {name!r} has {value!r}")
    return np.array(values, dtype=np.float64)
