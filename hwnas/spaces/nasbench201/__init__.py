"""The NAS-Bench-201 search space: 15,625 cells of six edges with five operations each.

Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
ICLR 2020. Node 0 is the input of a cell and node 3 its output; every node is the sum of its
incoming edges.
"""

from hwnas.spaces.nasbench201.cell import (
    EDGES,
    OPERATIONS,
    Cell,
    cell_graph,
    operation_graph,
    parse_cell,
)
from hwnas.spaces.nasbench201.space import OPTIONS, NasBench201

__all__ = [
    "EDGES",
    "OPERATIONS",
    "OPTIONS",
    "Cell",
    "NasBench201",
    "cell_graph",
    "operation_graph",
    "parse_cell",
]
