"""Architectures as SVG pictures that follow the page's colours.

Colours are CSS classes (`op-...`), which the report defines for light and dark pages; every
operation is written out as well, so nothing depends on colour alone.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from hwnas.errors import HwnasError
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.nasbench201 import Cell
from hwnas.typing import SearchSpace

SHORT = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
    "avg_pool_3x3": "pool 3×3",
}
_NODE_X = (18, 116, 214, 312)
_NODE_Y = 92
_CELL_PATHS: dict[tuple[int, int], tuple[str, int, int]] = {
    (0, 1): (f"M28 {_NODE_Y}H102", 66, _NODE_Y - 7),
    (1, 2): (f"M126 {_NODE_Y}H200", 164, _NODE_Y - 7),
    (2, 3): (f"M224 {_NODE_Y}H298", 262, _NODE_Y - 7),
    (0, 2): (f"M25 {_NODE_Y - 8}C60 46 170 46 205 {_NODE_Y - 11}", 116, 49),
    (1, 3): (f"M123 {_NODE_Y + 8}C160 138 268 138 303 {_NODE_Y + 11}", 214, 142),
    (0, 3): (f"M20 {_NODE_Y - 10}C50 2 280 2 309 {_NODE_Y - 13}", 165, 15),
}
"""SVG path of each edge and the middle of its label."""
_BOX, _COLUMN, _ROW = 80, 112, 34


def draw_architecture(arch: str, space: SearchSpace[Any] | None) -> str:
    """Draw an architecture: a NAS-Bench-201 cell as such, others as their computation graph.

    Args:
        arch: text of the architecture.
        space: its search space; without one nothing can be drawn.

    Returns:
        An `<svg>` element, or an empty text if the space is missing or cannot read `arch`.
    """
    if space is None:
        return ""
    try:
        parsed = space.parse(arch)
        return draw_cell(parsed) if isinstance(parsed, Cell) else draw_graph(space.to_graph(parsed))
    except HwnasError:
        return ""


def draw_cell(cell: Cell) -> str:
    """Draw the four nodes of a cell; dead operations are dashed and `none` is left out."""
    live = cell.live_edges()
    edges = []
    for edge, operation in cell.edges():
        if operation != "none":
            path, x, y = _CELL_PATHS[edge]
            kind = f"{_css(operation)}{'' if edge in live else ' dead'}"
            edges.append(_edge(path, kind) + _label(x, y, operation, kind))
    nodes = [_node(x, _NODE_Y, str(i)) for i, x in enumerate(_NODE_X)]
    text = "; ".join(
        f"{s} to {t}: {SHORT[o]}{'' if (s, t) in live or o == 'none' else ' (dead)'}"
        for (s, t), o in cell.edges()
    )
    return _svg(330, 156, f"Cell: {text}", [*edges, *nodes])


def draw_graph(graph: ArchGraph) -> str:
    """Draw a computation graph: one column a depth, one box an operation, input on the left.

    The depth of a node is its longest path from the input; a number on an edge tells how often
    the value is added where that is more than once.
    """
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
    return _svg(_COLUMN * len(columns) - 16, height + 12, title, parts)


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
    edge = _edge(f"M{x0:g} {y0:g}{curve}", "op-skip_connect")
    middle = (bend0 + bend1) * 3 / 8 + (y0 + y1) / 8
    return edge + (_label((x0 + x1) / 2, middle - 4, f"×{count}", "") if count > 1 else "")


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    """Wrap parts into a picture with a text for those who do not see it."""
    name = escape(title)
    return (
        f'<svg class="architecture" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'style="max-width:{width:g}px" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def _edge(path: str, kind: str) -> str:
    return f'<path class="edge {kind}" d="{path}" marker-end="url(#arrow)"/>'


def _label(x: float, y: float, text: str, kind: str) -> str:
    shown = escape(SHORT.get(text, text))
    return f'<text class="label {kind}" x="{x:g}" y="{y:g}">{shown}</text>'


def _node(x: float, y: float, text: str) -> str:
    return (
        f'<circle class="node" cx="{x:g}" cy="{y:g}" r="10"/>'
        f'<text class="node-text" x="{x:g}" y="{y + 4:g}">{text}</text>'
    )


def _box(x: float, y: float, operation: str) -> str:
    text = SHORT.get(operation, operation)
    short = text if len(text) <= 13 else f"{text[:12]}…"
    return (
        f'<rect class="box {_css(operation)}" x="{x:g}" y="{y - 11:g}" width="{_BOX}" height="22" '
        f'rx="5"/><text class="node-text" x="{x + _BOX / 2:g}" y="{y + 4:g}">{escape(short)}</text>'
    )


def _css(operation: str) -> str:
    """Give the class of an operation; a name from elsewhere must not leave the attribute."""
    return f"op-{re.sub(r'[^A-Za-z0-9_-]', '-', operation)}"
