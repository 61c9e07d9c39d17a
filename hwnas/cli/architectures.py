"""Architectures that are named on the command line, or in a file: line by line or in a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE, from_cell, with_names_of_now

if TYPE_CHECKING:
    from hwnas.typing import Arch, SearchSpace


def parse_architectures(
    space: SearchSpace[Arch], texts: Sequence[str], file: Path | None
) -> list[Arch]:
    """Parse the texts, then the lines of the file; empty ones and those with # are left out.

    Of a CSV file whose first line that is left names a column `architecture`, as those that hwnas
    writes, it is that column.

    Raises:
        InvalidArchitectureError: a text is no architecture; names the line.
        InvalidValueError: the file cannot be read, or is a table without commas.
    """
    found = [space.parse(text) for text in texts]
    for number, line in [] if file is None else _lines(file):
        try:
            found.append(space.parse(line))
        except InvalidArchitectureError as error:
            raise InvalidArchitectureError(f"{file}, line {number}: {error}") from None
    return found


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"`--archs` must be a text file with one architecture a line, but got {str(file)!r} "
            f"({error})."
        ) from None
    told = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    first = told[0][1] if told else ""
    header = _header(first, ",")
    if ARCHITECTURE not in header:
        if any(ARCHITECTURE in _header(first, mark) for mark in ";\t"):
            raise InvalidValueError(f"`--archs` must separate cells by commas, but has {first!r}.")
        yield from told
        return
    rows = csv.DictReader((line for _, line in told[1:]), fieldnames=header)
    yield from ((told[rows.line_num][0], from_cell(row[ARCHITECTURE] or "")) for row in rows)


def _header(line: str, mark: str) -> list[str]:
    return with_names_of_now(next(csv.reader([line], delimiter=mark), []))
