"""Numbers of a computation graph that costs are a weighted sum of."""

from __future__ import annotations

from collections import Counter

from hwnas.graphs.arch_graph import ArchGraph

_Sum = tuple[tuple[int, int], ...]
"""An input of an operation: node number and how often it is an addend, in order."""


def longest_path(graph: ArchGraph) -> int:
    """Count the edges of the longest path from input to output; 0 if there is none."""
    lengths = [0] + [-1] * (len(graph) - 1)
    for target in range(1, len(graph)):
        before = [lengths[s] for s in graph.adjacency[:, target].nonzero()[0]]
        lengths[target] = max((length + 1 for length in before if length >= 0), default=-1)
    return max(lengths[-1], 0)


def additions(graph: ArchGraph) -> int:
    """Count the additions of two feature maps, those of equal inputs once."""
    inputs, _ = _merged(graph)
    return sum(max(sum(n for _, n in terms) - 1, 0) for terms in set(inputs))


def merged_operations(graph: ArchGraph) -> Counter[str]:
    """Count operations, equal ones with equal inputs once.

    A runtime that looks for common subexpressions runs a pooling of the same feature map once,
    however many branches have it.
    """
    _, merged = _merged(graph)
    return Counter(graph.operations[node] for node in set(merged))


def _merged(graph: ArchGraph) -> tuple[list[_Sum], list[int]]:
    """Give the input of each node after the first, and the first node equal to each node."""
    first: dict[tuple[str, _Sum], int] = {}
    equal, inputs = [0], []
    for node in range(1, len(graph)):
        addends: Counter[int] = Counter()
        for source in graph.adjacency[:, node].nonzero()[0].tolist():
            addends[equal[source]] += int(graph.adjacency[source, node])
        inputs.append(tuple(sorted(addends.items())))
        equal.append(first.setdefault((graph.operations[node], inputs[-1]), node))
    return inputs, equal
