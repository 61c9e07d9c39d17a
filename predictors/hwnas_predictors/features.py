"""What an architecture is to a linear model: its choices, its graph, and their pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph
from hwnas.spaces.facets import Equivalence, Graphs, facet
from hwnas.spaces.options import text_of
from hwnas.typing import DeadOperations, FloatArray, SearchSpace
from hwnas_predictors.encodings import one_hot
from hwnas_predictors.graph_counts import GraphCounts
from hwnas_predictors.network_columns import NetworkColumns

LARGEST_WITH_PAIRS = 60
"""Choices of all parameters up to which pairs of them are features as well."""
LAYOUT = 6
"""Which numbers of a graph are features.

1 has no additions and no merged operations, 2 nothing of what runs beside or after each other, 3 no
blocks of their own of what runs one after another and of what lies on a path, 4 none of what is
left once equal branches are merged, in 5 operations that have weights are merged there, too.
"""
_MERGED = 4
_WITHOUT_WEIGHTS = "pool"
"""What the names of operations have that are equal where their inputs are."""


class ArchFeatures:
    """Turns architectures into blocks of numbers whose weighted sums are costs.

    - `choices`: one-hot parameters. A parameter that an architecture does not have is all zero.
    - `counts`: how often each choice's text is chosen, whatever the parameter.
    - `graph`: how often each operation occurs in the canonical computation graph, before and after
      equal branches are merged, the additions, and the longest path through it: what is left to
      run for a runtime that drops dead operations. How many of each operation follow one another,
      the feature maps that are kept at once and those that are read say what runs in parallel.
    - `serial`, `paths`: of a device that prunes, each operation and the additions alone, and the
      longest paths by what each operation may take; 0 of one that executes dead operations.
    - `merged`: `serial` once equal poolings are merged, for runtimes that do so. Convolutions of
      one feature map are never equal: each has weights of its own.
    - `pairs`: products of two of the choices, and of two of the graph's numbers.

    `graph` and `pairs` are there in spaces with few choices, such as cells; `graph` is empty in
    those that have no graphs. Where there are many choices, as in chains of layers, costs add up
    over the layers and a sum of choices says it all.

    Where dead operations were pruned, an architecture is what represents its class of equal
    networks, so that all of the class have the same features.

    With `network` the blocks are other ones: `work` in all and `kinds` of work of the networks, see
    `hwnas_predictors.network_columns`, then all features. They say of any space what its choices
    alone say of cells and chains.

    Args:
        space: search space.
        operations: operations of the graphs; found by sampling the space if None.
        layout: see `LAYOUT`.
        network: what the networks do; None where they are not looked at.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        operations: Sequence[str] | None = None,
        layout: int = LAYOUT,
        network: NetworkColumns[Any] | None = None,
    ) -> None:
        self.space = space
        self.layout = layout
        self.network = network
        self._graphs = None if network is not None else facet(space, Graphs)
        # Without a graph to count, what represents an architecture is no cheaper than its network.
        self._equivalence = None if self._graphs is None else facet(space, Equivalence)
        # The columns of `one_hot`, in its order.
        self._column = [
            (name, choice) for name, choices in space.parameters.items() for choice in choices
        ]
        self._texts = sorted({text_of(choice) for _, choice in self._column})
        self.with_pairs = network is None and len(self._column) <= LARGEST_WITH_PAIRS
        if operations is None:
            operations = self._sample_operations() if self.with_pairs else ()
        self.operations = tuple(operations)
        self._rows: dict[str, FloatArray] = {}

    @property
    def views(self) -> tuple[DeadOperations, ...]:
        """What a device may do with dead operations; one view where the space tells of none."""
        return ("executed",) if self._equivalence is None else ("executed", "pruned")

    @property
    def merged(self) -> int | None:
        """Number of the block `merged`; None where there is none."""
        there = self.with_pairs and self.layout > 4 and self._graphs is not None
        return _MERGED if there else None

    def has_dead(self, archs: Sequence[Any]) -> bool:
        """Tell whether one of the architectures has a part without an effect."""
        known = self._equivalence
        return known is not None and not all(known.is_live(arch) for arch in archs)

    def _sample_operations(self) -> list[str]:
        if self._graphs is None:
            return []
        rng = np.random.default_rng(0)
        graphs = (self._graphs.to_graph(self.space.sample(rng)) for _ in range(500))
        found = {operation for graph in graphs for operation in graph.operations}
        return sorted(found - {INPUT, OUTPUT} if self.layout > 1 else found)

    def blocks(self, archs: Sequence[Any], view: DeadOperations = "executed") -> list[FloatArray]:
        """Give `(n, p_b)` features of each block, the last of which holds all."""
        if view == "pruned":
            archs = [self.space.representative(arch) for arch in archs]
        choices = one_hot(self.space, archs)
        counts = choices @ self._text_of_choice
        if self.network is not None:
            work, kinds = self.network(archs)
            return [work, kinds, np.concatenate([kinds, counts, choices], axis=1)]
        if not self.with_pairs:
            return [counts, choices]
        graph, paths, merged = self._numbers(archs)
        every = [choices, graph, choices[:, self._i] * choices[:, self._j]]
        rows, columns = np.triu_indices(graph.shape[1])
        every.append(graph[:, rows] * graph[:, columns])
        if self.layout > 3 and self._graphs is not None:
            ran = float(view == "pruned")
            serial, paths = ran * self._serial(graph), ran * paths
            every = [np.concatenate([*every, paths], axis=1)]
            there = [ran * merged] if self.layout > 4 else []
            return [counts, serial, paths, graph, *there, *every]
        return [counts, graph, np.concatenate(every, axis=1)]

    @cached_property
    def _text_of_choice(self) -> FloatArray:
        return np.array([[float(text_of(c) == t) for t in self._texts] for _, c in self._column])

    @cached_property
    def _pairs(self) -> tuple[list[int], list[int]]:
        """Pairs of choices of two different parameters."""
        names = [name for name, _ in self._column]
        columns = range(len(names))
        pairs = [(i, j) for i in columns for j in columns if i < j and names[i] != names[j]]
        return [i for i, _ in pairs], [j for _, j in pairs]

    @property
    def _i(self) -> list[int]:
        return self._pairs[0]

    @property
    def _j(self) -> list[int]:
        return self._pairs[1]

    @property
    def graph_names(self) -> tuple[str, ...]:
        """Names of the columns of the block `graph`."""
        if self.layout == 1:
            return (*self.operations, "path")
        merged = (f"merged {operation}" for operation in self.operations)
        names = (*self.operations, "path", "additions", *merged)
        if self.layout == 2:
            return names
        rows = (f"{operation} in a row" for operation in self.operations)
        return (*names, *rows, "width", "inputs")

    def _numbers(self, archs: Sequence[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give `(n, g)` numbers of the graphs, `(n, t)` paths and `(n, o + 1)` merged operations.

        Each class of equal graphs is counted once. Without graphs there are no columns.
        """
        if self._graphs is None:
            return (np.zeros((len(archs), 0)),) * 3
        parts = [len(self.graph_names), 1 + 2 * len(self.operations), 1 + len(self.operations)]
        rows = np.zeros((len(archs), sum(parts)))
        for row, arch in zip(rows, archs, strict=True):
            key = self.space.canonical_key(arch)
            if key not in self._rows:
                self._rows[key] = np.array(self._count(self._graphs.to_graph(arch)))
            row[:] = self._rows[key]
        graph, paths, merged = np.split(rows, np.cumsum(parts)[:-1], axis=1)
        return graph, paths, merged

    def _serial(self, graph: FloatArray) -> FloatArray:
        """Give `(n, o + 1)` columns of `(n, g)` ones: each operation, and the additions."""
        columns = [self.graph_names.index(name) for name in (*self.operations, "additions")]
        return graph[:, columns]

    def _count(self, graph: ArchGraph) -> list[float]:
        operations, counts = Counter(graph.operations), GraphCounts(graph)
        found: list[float] = [operations[name] for name in self.operations]
        found.append(counts.longest_path())
        merged = counts.merged_operations()
        if self.layout > 1:
            found += [counts.additions(), *(merged[name] for name in self.operations)]
        if self.layout > 2:
            found += [counts.most_in_a_row(name) for name in self.operations]
            found += [counts.width(), counts.distinct_inputs()]
        found += counts.weighted_paths(self.operations)
        if self.layout > 5:
            counts = GraphCounts(graph, [n for n in self.operations if _WITHOUT_WEIGHTS in n])
            merged = counts.merged_operations()
        # The outputs of merged branches are still added.
        return [*found, *(merged[name] for name in self.operations), counts.additions()]
