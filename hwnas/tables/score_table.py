"""Reads the tables of scores that `hwnas score --out` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import (
    DataFormatError,
    InvalidArchitectureError,
    InvalidValueError,
    MissingDependencyError,
)
from hwnas.files.csv_table import (
    ARCHITECTURE,
    ROWS_LEFT,
    from_cell,
    require_all_rows,
    require_plain_csv,
    with_names_of_now,
)
from hwnas.registry import names
from hwnas.tables.table import Table
from hwnas.typing import Arch, SearchSpace

if TYPE_CHECKING:
    import pandas as pd

OTHER_COLUMNS = {ARCHITECTURE, "arch", "key", "seconds", ROWS_LEFT}
"""Columns of such tables that hold no scores."""


def read_scores(
    path: Path,
    space: SearchSpace[Arch],
    proxies: Sequence[str] | None = None,
    note: Callable[[str], None] = lambda _: None,
    *,
    own: Sequence[str] = (),
    runs: bool = False,
) -> Table[Arch]:
    """Read architectures and scores from a ``.csv`` or ``.parquet`` file.

    Args:
        path: a table with the column ``architecture`` and one column a proxy.
        space: search space of the architectures.
        proxies: the columns wanted; None for every proxy that is there.
        note: is told what was left out, and that the rows of a file are not counted.
        own: further columns, of scores that are no proxies of hwnas.
        runs: whether an architecture may have several rows, which are all given.

    Returns:
        The different architectures with their raw scores; NaN where the file has none.

    Raises:
        InvalidValueError: the file cannot be read, or a wanted column is absent.
        DataFormatError: a score is no number, an architecture has two different scores, a column
            stands there twice, rows are missing, or there is none.
        InvalidArchitectureError: an architecture is not one of the space; gives the row.
        MissingDependencyError: a Parquet file needs the extra ``parquet``.
    """
    frame = _read(path)
    if counted := ROWS_LEFT in frame:
        require_all_rows(frame[ROWS_LEFT].tolist(), path)
    wanted = [*(_proxy_columns(frame) if proxies is None else proxies), *own]
    missing = [name for name in (ARCHITECTURE, *wanted) if name not in frame]
    if missing or not wanted:
        raise InvalidValueError(
            f"`{path}` must have the column {ARCHITECTURE} and "
            f"{', '.join(wanted) or 'one a proxy'}, but {', '.join(missing) or 'any proxy'} is "
            f"missing: there are {', '.join(map(str, frame.columns))}."
        )
    ignored = [
        str(c)
        for c in frame.columns
        if c not in {*wanted, *OTHER_COLUMNS} and not str(c).endswith("_seconds")
    ]
    frame = frame[[ARCHITECTURE, *wanted]].dropna(how="all")  # as a spreadsheet leaves them
    frame = frame.assign(**{name: _numbers(frame, name, path) for name in wanted})
    rows = [_row(place) for place in frame.index]
    frame = frame.reset_index(drop=True)
    written = frame[ARCHITECTURE]
    parsed = [_parse(space, text, n, path) for n, text in zip(rows, written, strict=True)]
    frame = frame.assign(**{ARCHITECTURE: [str(arch) for arch in parsed]})
    different = frame if runs else frame.drop_duplicates()
    if (different[ARCHITECTURE].duplicated().any() and not runs) or different.empty:
        raise DataFormatError(
            f"`{path}` must have at least one row and the same scores wherever an architecture is "
            f"repeated, but got {len(different)} different rows of "
            f"{different[ARCHITECTURE].nunique()} architectures."
        )
    if ignored:
        note(f"columns left alone, as they are no proxies wanted: {', '.join(ignored)}.")
    if repeated := len(frame) - len(different):
        note(f"{repeated} repeated rows were left out.")
    if not counted:
        note(f"{path} does not count its rows: whether it is whole is not known.")
    columns = {name: different[name].to_numpy(dtype="float64") for name in wanted}
    archs = [parsed[i] for i in different.index]
    return Table(archs, columns, origin=f"scores of {path.name}")


def columns_of(path: Path) -> list[str]:
    """Name the columns of a table; `InvalidValueError` if it cannot be read."""
    return [str(name) for name in _read(path).columns]


def texts_of(path: Path, column: str) -> list[str]:
    """Give the different texts of a column that are not empty; none where there is no such column.

    Raises:
        InvalidValueError: the table cannot be read.
    """
    frame = _read(path)
    return sorted(set(map(str, frame[column].dropna()))) if column in frame else []


def _proxy_columns(frame: pd.DataFrame) -> list[str]:
    """List the columns of proxies in the order of the table of proxies, variants among them."""
    order = {name: i for i, name in enumerate(names("proxies"))}
    found = [str(c) for c in frame.columns if str(c).partition(".")[0] in order]
    found = [c for c in found if not c.endswith("_seconds")]
    return sorted(found, key=lambda c: order[c.partition(".")[0]])


def _with_names_of_now(frame: pd.DataFrame) -> pd.DataFrame:
    if ARCHITECTURE in frame:
        return frame
    return frame.set_axis(with_names_of_now(frame.columns), axis="columns")


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix not in (".csv", ".parquet"):
        raise InvalidValueError(f"`scores` must end in .csv or .parquet, but got {path.name!r}.")
    try:
        if path.suffix == ".parquet":
            return _with_names_of_now(pd.read_parquet(path))
        require_plain_csv(path)
        texts = dict.fromkeys(("arch", ARCHITECTURE), from_cell)
        return _with_names_of_now(pd.read_csv(path, converters=texts))
    except DataFormatError:
        raise
    except ImportError:
        raise MissingDependencyError(
            "`scores` in .parquet needs pyarrow: pip install 'hwnas[parquet]', or use .csv."
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"`scores` must be a table that `hwnas score --out` wrote, but reading {str(path)!r} "
            f"failed: {str(error).splitlines()[0]}"
        ) from None


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> pd.Series[Any]:
    import pandas as pd

    column = frame[name]
    must = f"`{path}` must have numbers in the column {name}, but"
    try:
        if column.dtype == bool:
            raise TypeError("truth values")
        found = pd.to_numeric(column, errors="coerce").astype("float64")
    except (ValueError, TypeError) as error:
        raise DataFormatError(f"{must} got: {error}") from None
    wrong = column[found.isna() & column.notna()]
    if len(wrong):
        raise DataFormatError(f"{must} row {_row(wrong.index[0])} has {wrong.iloc[0]!r}.")
    return found


def _row(place: Any) -> int:
    """Give the number of the row at a place of a file, from 1."""
    return int(place) + 1


def _parse(space: SearchSpace[Arch], text: object, number: int, path: Path) -> Arch:
    try:
        return space.parse("" if text != text else str(text))
    except InvalidArchitectureError as error:
        raise InvalidArchitectureError(f"{path}, row {number}: {error}") from None
