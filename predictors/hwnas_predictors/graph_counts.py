"""Numbers of a computation graph that costs are a weighted sum of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property

from hwnas.graphs.arch_graph import ArchGraph

_Sum = tuple[tuple[int, int], ...]
"""An input of an operation: node number and how often it is an addend, in order."""


class GraphCounts:
    """What a device has to run of a graph, in all, one after another and at once.

    Args:
        graph: the graph.
        mergeable: operations of which equal ones may be run once; all if None.
    """

    def __init__(self, graph: ArchGraph, mergeable: Collection[str] | None = None) -> None:
        self._graph = graph
        self._mergeable = mergeable
        columns = graph.adjacency.T.tolist()
        self._addends = [[(i, n) for i, n in enumerate(column) if n] for column in columns]
        self._sources = [[i for i, _ in addends] for addends in self._addends]

    def longest_path(self) -> int:
        """Count the edges of the longest path from input to output; 0 if there is none."""
        return int(self._longest([1] * len(self._addends)))

    def most_in_a_row(self, operation: str) -> int:
        """Count an operation on the path from input to output that has the most of it.

        A runtime that runs parallel branches at once waits for that path.
        """
        return int(self._longest([int(own == operation) for own in self._graph.operations]))

    def weighted_paths(self, operations: Sequence[str]) -> list[float]:
        """Give the longest times of a path from input to output, by what each operation takes.

        At first all take 1; then, for each operation, it takes 1/4, and 2. A runtime that runs
        branches at once takes as long as one of these paths, or as a sum of them.
        """
        usual = dict.fromkeys(operations, 1.0)
        cases = [usual, *({**usual, name: w} for name in operations for w in (0.25, 2.0))]
        own = self._graph.operations
        return [self._longest([case.get(name, 0.0) for name in own]) for case in cases]

    def width(self) -> int:
        """Count the feature maps that are kept at once, in the order of the nodes."""
        last = list(range(len(self._addends)))  # the last node that reads each one's map
        for target, addends in enumerate(self._addends):
            for source, _ in addends:
                last[source] = target
        return max(sum(t <= last[s] for s in range(t)) for t in range(1, len(last)))

    def distinct_inputs(self) -> int:
        """Count the feature maps that operations and the output read, equal ones once."""
        return len(set(self._merged[0]))

    def additions(self) -> int:
        """Count the additions of two feature maps, those of equal inputs once."""
        return sum(max(sum(n for _, n in terms) - 1, 0) for terms in set(self._merged[0]))

    def merged_operations(self) -> Counter[str]:
        """Count operations, equal ones with equal inputs once.

        A runtime that looks for common subexpressions runs a pooling of the same feature map once,
        however many branches have it.
        """
        return Counter(self._graph.operations[node] for node in set(self._merged[1]))

    def _longest(self, lengths: Sequence[float]) -> float:
        """Give the length of the longest path from input to output, by the length of each node."""
        longest = [0.0]
        for length, sources in zip(lengths[1:], self._sources[1:], strict=True):
            before = -1.0
            for source in sources:  # fewer than are worth a call of `max`
                if longest[source] > before:
                    before = longest[source]
            longest.append(before + length if before >= 0 else -1.0)
        return max(longest[-1], 0.0)

    @cached_property
    def _merged(self) -> tuple[list[_Sum], list[int]]:
        """The input of each node after the first, and the first node equal to each node."""
        first: dict[tuple[str, _Sum], int] = {}
        mergeable = self._mergeable
        equal, inputs = [0], []
        for node in range(1, len(self._addends)):
            total: Counter[int] = Counter()
            for source, times in self._addends[node]:
                total[equal[source]] += times
            inputs.append(tuple(sorted(total.items())))
            operation = self._graph.operations[node]
            alone = mergeable is not None and operation not in mergeable
            equal.append(node if alone else first.setdefault((operation, inputs[-1]), node))
        return inputs, equal
