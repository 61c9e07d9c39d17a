"""Features of a NAS-Bench-201 cell as a graph, by table look-up.

For each set of operations the features look at the edges that carry one of them. There are only 64
sets of edges, so that what is known of each is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from hwnas.spaces.nasbench201 import EDGES, OPERATIONS, Cell, NasBench201
from hwnas.typing import FloatArray

_SUBSETS = tuple(
    subset
    for size in range(1, len(OPERATIONS) + 1)
    for subset in itertools.combinations(range(len(OPERATIONS)), size)
)
"""The 31 sets of operations that are not empty."""
_MEASURES = ("min_path", "max_path", "input_degree", "output_degree", "average_degree")
_INPUT, _OUTPUT = 0, 3
_NO_PATH = (5.0, -1.0)
"""What stands for the shortest and the longest path where there is none."""


@dataclass(frozen=True)
class GrafFeatures:
    """The facet `Features`: see `graf_features`."""

    space: NasBench201

    def features(self, archs: Sequence[Cell]) -> FloatArray:
        """Give the `(n, 160)` features of exactly these cells."""
        return graf_features(archs)


def graf_names() -> tuple[str, ...]:
    """Name the 160 features in the order of `graf_features`."""
    sets = ("+".join(OPERATIONS[o] for o in subset) for subset in _SUBSETS)
    counts = (f"count[{name}]" for name in OPERATIONS)
    return (*counts, *(f"{measure}[{s}]" for s in sets for measure in _MEASURES))


def graf_features(cells: Sequence[Cell]) -> FloatArray:
    """Compute the GRAF features of cells.

    Kadlecová et al., Surprisingly Strong Performance Prediction with Neural Graph Features, ICML
    2024. Beside the five counts of operations, there are for each of the 31 non-empty sets of
    operations, over the edges whose operation is in the set:

    - ``min_path``, ``max_path``: edges on the shortest and the longest path from the input to the
      output of the cell; 5 and -1 where there is none;
    - ``input_degree``: edges that leave the input; ``output_degree``: edges that enter the output;
    - ``average_degree``: edges a node. The published features have it twice, for incoming and for
      outgoing edges, which are equally many.

    ``none`` is an operation like the others here. Features belong to the exact cell: equal
    networks under other names differ.

    Args:
        cells: (n,) cells.

    Returns:
        (n, 160) features, in the order of `graf_names`.
    """
    index = {name: i for i, name in enumerate(OPERATIONS)}
    chosen = np.array([[index[o] for o in cell.operations] for cell in cells], dtype=np.intp)
    is_operation = chosen.reshape(-1, len(EDGES))[:, :, None] == np.arange(len(OPERATIONS))
    bits = 1 << np.arange(len(EDGES))
    columns = [is_operation.sum(axis=1).astype(np.float64)]
    columns += [
        _table()[is_operation[:, :, list(subset)].any(axis=2) @ bits] for subset in _SUBSETS
    ]
    return np.concatenate(columns, axis=1)


@cache
def _table() -> FloatArray:
    """Compute the (64, 5) measures of each set of edges; bit i of its number is `EDGES[i]`."""
    edge_sets = itertools.product((False, True), repeat=len(EDGES))
    # The last element of a product changes fastest: it is the lowest bit.
    table = np.array([_measures(flags[::-1]) for flags in edge_sets])
    table.flags.writeable = False
    return table


def _measures(flags: Sequence[bool]) -> tuple[float, ...]:
    edges = list(itertools.compress(EDGES, flags))
    # Lengths of all paths from the input to a node; sources come before targets.
    lengths: dict[int, set[int]] = {node: set() for node in range(_OUTPUT + 1)}
    lengths[_INPUT] = {0}
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        lengths[target] |= {length + 1 for length in lengths[source]}
    found = lengths[_OUTPUT]
    shortest, longest = (min(found), max(found)) if found else _NO_PATH
    leaving = sum(source == _INPUT for source, _ in edges)
    entering = sum(target == _OUTPUT for _, target in edges)
    return (shortest, longest, leaving, entering, len(edges) / len(lengths))
