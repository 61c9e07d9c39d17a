"""The table that `hwnas score --out` writes: CSV or Parquet, whole or not at all."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import InvalidValueError, MissingDependencyError
from hwnas.files.atomic import require_writable, write_bytes
from hwnas.files.csv_table import ROWS_LEFT, as_cell


def check_table(out: Path) -> None:
    """Refuse what `write_table` could not write, before its rows are computed.

    Raises:
        InvalidValueError: the name has another end, or the file cannot be written.
        MissingDependencyError: Parquet needs the extra ``parquet``.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise InvalidValueError(f"`--out` must end in .csv or .parquet, but got {out.name!r}.")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingDependencyError(
            "`--out` in .parquet needs pyarrow: pip install 'hwnas[parquet]', or write .csv."
        )
    require_writable(out)


def write_table(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write rows, with a last column that counts those that follow, see `csv_table`.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    import pandas as pd

    table = pd.DataFrame([dict(row) for row in rows])
    table[ROWS_LEFT] = range(len(rows) - 1, -1, -1)
    stream = io.BytesIO()
    if out.suffix == ".csv":
        table.map(lambda value: as_cell(value) if isinstance(value, str) else value).to_csv(
            stream, index=False
        )
    else:
        table.to_parquet(stream, index=False)
    write_bytes(out, stream.getvalue())
