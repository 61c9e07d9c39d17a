"""Numbers of a computation graph that costs are a weighted sum of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hwnas.graphs.arch_graph import ArchGraph

_Sum = tuple[tuple[int, int], ...]
"""An input of an operation: node number and how often it is an addend, in order."""


def longest_path(graph: ArchGraph) -> int:
    """Count the edges of the longest path from input to output; 0 if there is none."""
    return int(_longest(graph, [1] * len(graph)))


def most_in_a_row(graph: ArchGraph, operation: str) -> int:
    """Count an operation on the path from input to output that has the most of it.

    A runtime that runs parallel branches at once waits for that path.
    """
    return int(_longest(graph, [int(own == operation) for own in graph.operations]))


def weighted_paths(graph: ArchGraph, operations: Sequence[str]) -> list[float]:
    """Give the longest times of a path from input to output, by what each operation takes.

    At first all take 1; then, for each operation, it takes 1/4, and 2. A runtime that runs branches
    at once takes as long as one of these paths, or as a sum of them.
    """
    usual = dict.fromkeys(operations, 1.0)
    cases = [usual, *({**usual, name: w} for name in operations for w in (0.25, 2.0))]
    return [_longest(graph, [case.get(own, 0.0) for own in graph.operations]) for case in cases]


def _longest(graph: ArchGraph, lengths: Sequence[float]) -> float:
    """Give the length of the longest path from input to output, by the length of each node."""
    longest = [0.0] + [-1.0] * (len(graph) - 1)
    for target in range(1, len(graph)):
        before = [longest[s] for s in graph.adjacency[:, target].nonzero()[0]]
        ways = (length + lengths[target] for length in before if length >= 0)
        longest[target] = max(ways, default=-1)
    return max(longest[-1], 0.0)


def width(graph: ArchGraph) -> int:
    """Count the feature maps that are kept at once, in the order of the nodes."""
    later = graph.adjacency > 0
    return max((int(later[:t, t:].any(axis=1).sum()) for t in range(1, len(graph))), default=0)


def distinct_inputs(graph: ArchGraph) -> int:
    """Count the feature maps that operations and the output read, equal ones once."""
    return len(set(_merged(graph)[0]))


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
