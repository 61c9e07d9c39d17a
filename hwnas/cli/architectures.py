"""Architectures that are named on the command line, or line by line in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import InvalidArchitectureError, InvalidValueError

if TYPE_CHECKING:
    from hwnas.typing import Arch, SearchSpace


def parse_architectures(
    space: SearchSpace[Arch], texts: Sequence[str], file: Path | None
) -> list[Arch]:
    """Parse the texts, then the lines of the file; empty ones and those with # are left out.

    Raises:
        InvalidArchitectureError: a text is no architecture; names the line.
        InvalidValueError: the file cannot be read.
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
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"`--archs` must be a text file with one architecture a line, but got {str(file)!r} "
            f"({error})."
        ) from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line
