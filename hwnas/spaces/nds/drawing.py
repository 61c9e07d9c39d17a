"""Pictures of two cells: the facet `Drawing`. A box a state says what is added up in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hwnas.graphs.drawing import svg
from hwnas.spaces.nds.genotype import INPUTS, NONE, Genotype, State, Term, joined_states
from hwnas.spaces.nds.space import Nds

_COLUMNS, _WIDTH, _HEIGHT, _GAP, _HEADING = 3, 150, 42, 8, 20


@dataclass(frozen=True)
class CellsDrawing:
    """Writes the states of both cells in boxes, with the states that they take."""

    space: Nds

    def draw(self, arch: Genotype) -> str:
        """Draw the normal cell above the reduction cell."""
        parts: list[str] = []
        top = 0.0
        for name, states in arch.cells():
            joined = ", ".join(map(str, joined_states(states, self.space.parts.joins_all)))
            heading = f"{name} cell: joins {joined}; 0 and 1 are the cells before"
            parts.append(_text(_GAP, top + 13, heading, "node-text left"))
            parts += _boxes(states, top + _HEADING)
            top += _HEADING + (_HEIGHT + _GAP) * -(-len(states) // _COLUMNS) + _GAP
        width = _COLUMNS * (_WIDTH + _GAP) + _GAP
        return svg(width, top - _GAP, f"Cells: {arch}", parts)


def _boxes(states: Sequence[State], top: float) -> list[str]:
    parts = []
    for index, terms in enumerate(states):
        row, column = divmod(index, _COLUMNS)
        x, y = _GAP + (_WIDTH + _GAP) * column, top + (_HEIGHT + _GAP) * row
        parts.append(
            f'<rect class="box" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>'
        )
        words = [_words(term) for term in terms if term.operation != NONE] or ["zeros"]
        for line, text in enumerate(words):
            first = f"{index + INPUTS} =" if line == 0 else "+"
            parts.append(_text(x + 6, y + 17 + 15 * line, f"{first} {text}", "node-text left"))
    return parts


def _words(term: Term) -> str:
    """Say an operation as papers do, and the state that it takes: ``sep conv 3×3 of 0``."""
    sized = re.sub(r"(\d)x(\d)", r"\1×\2", term.operation.replace("skip_connect", "skip"))
    return f"{sized.replace('_', ' ')} of {term.source}"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
