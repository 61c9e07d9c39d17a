"""Architectures as pictures of the report."""

from __future__ import annotations

from hwnas.errors import HwnasError
from hwnas.graphs.drawing import draw_graph
from hwnas.spaces.facets import Drawing, Graphs, facet
from hwnas.typing import Arch, SearchSpace


def draw_architecture(arch: str, space: SearchSpace[Arch] | None) -> str:
    """Draw an architecture: as its space does, or as its computation graph.

    Args:
        arch: text of the architecture.
        space: its search space; without one nothing can be drawn.

    Returns:
        An `<svg>` element, or an empty text if the space is missing, cannot read `arch`,
        or has neither pictures nor graphs.
    """
    if space is None:
        return ""
    try:
        parsed = space.parse(arch)
        if (drawing := facet(space, Drawing)) is not None:
            return drawing.draw(parsed)
        graphs = facet(space, Graphs)
        return "" if graphs is None else draw_graph(graphs.to_graph(parsed))
    except HwnasError:
        return ""
