"""The texts ``FILE`` and ``FILE:COLUMN``."""

from __future__ import annotations

from pathlib import Path


def file_and_column(text: Path) -> tuple[Path, str | None]:
    """Take ``FILE:COLUMN`` apart; a file that has such a name is one, with no column named.

    Example:
        >>> file_and_column(Path("board.csv:energy_mj"))[1]
        'energy_mj'
        >>> file_and_column(Path("board.csv"))[1] is None
        True
    """
    file, colon, column = str(text).rpartition(":")
    return (Path(file), column) if colon and not text.is_file() else (text, None)
