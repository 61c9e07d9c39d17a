"""Tables that fit a width: which columns are shown, how wide, and where architectures break."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

_LONG, _LEAST = 28, 22
"""Texts above the first are wrapped, in columns not below the second."""
_SHORT_HEADER = 13
_OVERHEAD = 3
"""Cells that a column takes beside its content; one more for the table."""


@dataclass(frozen=True)
class Fit:
    """What of a table is shown.

    Attributes:
        columns: places of the columns that fit.
        widths: their widths in cells.
        left_out: places of the others.
    """

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    left_out: tuple[int, ...]


def fit(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Fit:
    """Choose columns and widths.

    The first column stays, and long texts are wrapped before anything is left out; then the last
    of the other columns go first.

    Args:
        headers: (c,) names, which may be wrapped between words.
        rows: (n, c) cells.
        width: cells of the terminal; None for as many as it takes.

    Example:
        >>> fit(["name", "a", "b"], [["x" * 10, "1", "2"]], width=20)
        Fit(columns=(0, 1), widths=(10, 1), left_out=(2,))
    """
    natural = [
        max([_header_width(header), *(cell_len(row[i]) for row in rows)])
        for i, header in enumerate(headers)
    ]
    if width is None:
        everything = tuple(range(len(headers)))
        return Fit(everything, tuple(natural), ())
    least = [min(n, _LEAST) if n > _LONG else n for n in natural]
    kept = list(range(len(headers)))
    droppable = [i for i in kept[1:] if natural[i] <= _LONG]
    while _room(least, kept, width) < 0 and droppable:
        kept.remove(droppable.pop())
    widths = {i: least[i] for i in kept}
    _widen(widths, natural, _room(least, kept, width))
    left = width - 1 - sum(w + _OVERHEAD for w in widths.values())
    for i in kept:  # headers on one line, where there is room
        if 0 < (more := cell_len(headers[i]) - widths[i]) <= left:
            widths[i] += more
            left -= more
    left_out = tuple(i for i in range(len(headers)) if i not in kept)
    return Fit(tuple(kept), tuple(widths[i] for i in kept), left_out)


def _header_width(header: str) -> int:
    """Give what a header needs: a line where it is short, else its longest word."""
    if cell_len(header) <= _SHORT_HEADER:
        return cell_len(header)
    return max(map(cell_len, header.split()))


def _room(least: Sequence[int], kept: Sequence[int], width: int) -> int:
    return width - 1 - sum(least[i] + _OVERHEAD for i in kept)


def _widen(widths: dict[int, int], natural: Sequence[int], room: int) -> None:
    """Share the room among wrapped texts; where there is none, they shrink further."""
    wrapped = [i for i in widths if natural[i] > _LONG]
    for place, i in enumerate(wrapped):
        share = room // (len(wrapped) - place)
        taken = min(natural[i] - widths[i], share) if room >= 0 else max(share, 1 - widths[i])
        widths[i] += taken
        room -= taken


def broken(text: str, width: int) -> str:
    """Break a text behind `|` or `+`; what is still too long behind `;` or `/`, then behind `,`.

    So operations stay whole; what has none of these is left to words.

    Example:
        >>> print(broken("|a~0|+|b~0|c~1|", width=11))
        |a~0|+|b~0|
        c~1|
        >>> print(broken("k3_e6,k5_e1,skip", width=14))
        k3_e6,k5_e1,
        skip
    """
    return "\n".join(_lines(text, width, ("|+", ";/", ",")))


def _lines(text: str, width: int, marks: Sequence[str]) -> list[str]:
    words = " " in text and "|" not in text
    if cell_len(text) <= width or words or not marks:
        return [text]
    lines = [""]
    for piece in re.findall(f"[^{marks[0]}]*[{marks[0]}]+|[^{marks[0]}]+$", text):
        if lines[-1] and cell_len(lines[-1]) + cell_len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return [part for line in lines for part in _lines(line, width, marks[1:])]
