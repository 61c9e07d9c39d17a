"""Pictures of NAS-Bench-201 cells: the facet `Drawing`."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.graphs.drawing import css, edge, label, node, svg
from hwnas.spaces.nasbench201 import Cell, NasBench201

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


@dataclass(frozen=True)
class CellDrawing:
    """Draws a cell as the paper does: four nodes, and operations on edges."""

    space: NasBench201

    def draw(self, arch: Cell) -> str:
        """Draw the cell, see `draw_cell`."""
        return draw_cell(arch)


def draw_cell(cell: Cell) -> str:
    """Draw the four nodes of a cell; dead operations are dashed and `none` is left out."""
    live = cell.live_edges()
    edges = []
    for ends, operation in cell.edges():
        if operation != "none":
            path, x, y = _CELL_PATHS[ends]
            kind = f"{css(operation)}{'' if ends in live else ' dead'}"
            edges.append(edge(path, kind) + label(x, y, SHORT[operation], kind))
    nodes = [node(x, _NODE_Y, str(i)) for i, x in enumerate(_NODE_X)]
    text = "; ".join(
        f"{s} to {t}: {SHORT[o]}{'' if (s, t) in live or o == 'none' else ' (dead)'}"
        for (s, t), o in cell.edges()
    )
    return svg(330, 156, f"Cell: {text}", [*edges, *nodes])
