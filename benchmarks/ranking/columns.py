"""Tables of benchmarks that fit on 80 columns: our figure, and the published one in brackets."""

from __future__ import annotations

from collections.abc import Sequence


def beside(ours: float, published: float | None, digits: int) -> str:
    """Write our figure and the published one; NaN, and one that is not known, as a dash.

    Example:
        >>> beside(0.7412, -0.743, 3), beside(float("nan"), None, 2), beside(70.0, 1.0, 0)
        ('.741 (-.743)', '– (–)', '70 (1)')
    """
    return f"{_short(ours, digits)} ({_short(published, digits)})"


def _short(value: float | None, digits: int) -> str:
    if value is None or value != value:
        return "–"
    sign, text = "-" if value < 0 else "", f"{abs(value):.{digits}f}"
    return sign + (text[1:] if text.startswith("0.") else text)


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table as text, all columns but the first to the right.

    Example:
        >>> show("cifar10", ["score", "KT"], [["params", "0.6 (0.7)"], ["zen", "0.2 (–)"]])
        <BLANKLINE>
        cifar10
        <BLANKLINE>
        score          KT
        params  0.6 (0.7)
        zen       0.2 (–)
    """
    table = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print(f"\n{title}\n")
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join(cells), flush=True)
