"""Graphs as SVG pictures that follow the page's colours, and the parts of other pictures.

Colours are CSS classes (`op-...`), which the report defines for light and dark pages; every
operation is written out as well, so nothing depends on colour alone.
"""

from __future__ import annotations

import itertools
import re
from html import escape

import numpy as np

from hwnas.graphs.arch_graph import ArchGraph

_BOX, _COLUMN, _ROW = 80, 112, 34
_SMALLEST = 0.7
"""Scale below which a picture is scrolled instead of shrunk further."""
_LINE = 11
"""Characters of a box's line; longer labels are divided at their colons into two smaller ones."""
_CHAIN_COLUMNS = 4
"""Layers a row of a chain that is longer: what a card of the report shows without shrinking it."""


def draw_graph(graph: ArchGraph) -> str:
    """Draw a computation graph: one column a depth, one box an operation, input on the left.

    The depth of a node is its longest path from the input; a number on an edge tells how often
    the value is added where that is more than once. A chain is written in rows, as text is, and
    equal operations one after another are one box that says how many.
    """
    if _is_chain(graph) and len(graph) > _CHAIN_COLUMNS:
        return _draw_chain(graph)
    adjacency, depth = graph.adjacency, _depths(graph)
    columns = [[i for i in range(len(graph)) if depth[i] == d] for d in sorted(set(depth))]
    height = _ROW * max(map(len, columns)) + 10
    place = {
        node: (8 + _COLUMN * column, (height - _ROW * len(nodes)) / 2 + _ROW * (row + 0.5))
        for column, nodes in enumerate(columns)
        for row, node in enumerate(nodes)
    }
    parts = [
        _connect(place[i], place[j], height if depth[j] - depth[i] > 1 else None, adjacency[i, j])
        for j in range(len(graph))
        for i in range(j)
        if adjacency[i, j]
    ]
    parts += [_box(*place[i], operation) for i, operation in enumerate(graph.operations)]
    title = f"Graph of {len(graph)} operations: {', '.join(graph.operations)}"
    return svg(_COLUMN * len(columns) - 16, height + 12, title, parts)


def _is_chain(graph: ArchGraph) -> bool:
    """Tell whether each operation feeds the next one alone."""
    n = len(graph)
    return bool((graph.adjacency == np.eye(n, k=1, dtype=graph.adjacency.dtype)).all())


def _draw_chain(graph: ArchGraph) -> str:
    """Write a chain in rows from left to right; a line leads to the beginning of the next."""
    runs = [(operation, len(list(run))) for operation, run in itertools.groupby(graph.operations)]
    place = [
        (8 + _COLUMN * (i % _CHAIN_COLUMNS), _ROW * (i // _CHAIN_COLUMNS + 0.5))
        for i in range(len(runs))
    ]
    parts = []
    for (x0, y0), (x1, y1) in itertools.pairwise(place):
        if y0 == y1:
            parts.append(_connect((x0, y0), (x1, y1), None, 1))
        else:
            middle, right = (y0 + y1) / 2, x0 + _BOX + 8
            path = f"M{x0 + _BOX:g} {y0:g}H{right:g}V{middle:g}H2V{y1:g}H{x1 - 1:g}"
            parts.append(edge(path, "op-skip_connect"))
    parts += [_box(x, y, *run) for (x, y), run in zip(place, runs, strict=True)]
    rows = -(-len(runs) // _CHAIN_COLUMNS)
    title = f"Chain of {len(graph)} operations: {', '.join(graph.operations)}"
    return svg(_COLUMN * _CHAIN_COLUMNS - 12, _ROW * rows + 6, title, parts)


def _depths(graph: ArchGraph) -> list[int]:
    """Give each node's longest path from the input; 1 for a node that nothing leads to."""
    depth = [0] * len(graph)
    for j in range(1, len(graph)):
        depth[j] = max((depth[i] + 1 for i in range(j) if graph.adjacency[i, j]), default=1)
    return depth


def _connect(
    start: tuple[float, float], end: tuple[float, float], floor: float | None, count: int
) -> str:
    """Join two boxes; an edge that skips columns passes below the others, at `floor`."""
    (x0, y0), (x1, y1) = (start[0] + _BOX, start[1]), end
    reach, bend0, bend1 = (x1 - x0) / 2, y0, y1
    if floor is not None:
        # The middle of the curve lies at 3/8 of each bend and 1/8 of each end.
        bend0 = bend1 = (floor - (y0 + y1) / 8) / 0.75
        reach = 40
    curve = f"C{x0 + reach:g} {bend0:g} {x1 - reach:g} {bend1:g} {x1 - 4:g} {y1:g}"
    arrow = edge(f"M{x0:g} {y0:g}{curve}", "op-skip_connect")
    middle = (bend0 + bend1) * 3 / 8 + (y0 + y1) / 8
    return arrow + (label((x0 + x1) / 2, middle - 4, f"×{count}", "") if count > 1 else "")


def svg(width: float, height: float, title: str, parts: list[str]) -> str:
    """Wrap parts into a picture with a text for those who do not see it."""
    name = escape(title)
    return (
        f'<svg class="architecture" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'style="max-width:{width:g}px;min-width:{_SMALLEST * width:g}px" '
        f'aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def edge(path: str, kind: str) -> str:
    """Draw an arrow along an SVG path; `kind` is its CSS classes."""
    return f'<path class="edge {kind}" d="{path}" marker-end="url(#arrow)"/>'


def label(x: float, y: float, text: str, kind: str) -> str:
    """Write the text of an edge around a point."""
    return f'<text class="label {kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def node(x: float, y: float, text: str) -> str:
    """Draw a circle with a text."""
    return (
        f'<circle class="node" cx="{x:g}" cy="{y:g}" r="10"/>'
        f'<text class="node-text" x="{x:g}" y="{y + 4:g}">{text}</text>'
    )


def _box(x: float, y: float, operation: str, count: int = 1) -> str:
    lines = _lines(operation, count)
    half = 11 if len(lines) == 1 else 13
    rect = (
        f'<rect class="box {css(operation)}" x="{x:g}" y="{y - half:g}" width="{_BOX}" '
        f'height="{2 * half}" rx="5"/>'
    )
    kind, heights = ("node-text", [4]) if len(lines) == 1 else ("node-text small", [-2, 9])
    return rect + "".join(
        f'<text class="{kind}" x="{x + _BOX / 2:g}" y="{y + down:g}">{escape(line)}</text>'
        for line, down in zip(lines, heights, strict=True)
    )


def _lines(operation: str, count: int) -> list[str]:
    """Give the one or two lines of a box; what does not fit the second one is cut."""
    parts = [*operation.split(":"), *([f"×{count}"] if count > 1 else [])]
    if len(" ".join(parts)) <= _LINE:
        return [" ".join(parts)]
    first = max(
        (n for n in range(1, len(parts)) if len(" ".join(parts[:n])) <= _LINE + 2), default=1
    )
    lines = [" ".join(parts[:first]), " ".join(parts[first:])]
    return [line if len(line) <= _LINE + 4 else f"{line[: _LINE + 3]}…" for line in lines if line]


def css(operation: str) -> str:
    """Give the class of an operation; a name from elsewhere must not leave the attribute."""
    return f"op-{re.sub(r'[^A-Za-z0-9_-]', '-', operation)}"
