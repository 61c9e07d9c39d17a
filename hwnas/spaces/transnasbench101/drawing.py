"""Pictures of TransNAS-Bench-101 micro cells: the facet `Drawing`."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.spaces.nasbench201.drawing import draw_cell
from hwnas.spaces.transnasbench101.micro import MicroArch, TransNasMicro


@dataclass(frozen=True)
class MicroDrawing:
    """Draws the cell: four nodes, and operations on edges."""

    space: TransNasMicro

    def draw(self, arch: MicroArch) -> str:
        """Draw the cell, see `draw_cell`."""
        return draw_cell(arch.cell)
