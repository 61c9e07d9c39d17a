"""Time of canonical forms: identical branches, and graphs of 2,000 values.

Prints CPU milliseconds (the least of three), and for graphs of values how often each was coloured.
Run it on two versions of the code to compare them::

    python -m benchmarks.structure.canonical_forms
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np

from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph
from hwnas.graphs.value_graph import CanonicalForm, ValueGraph


def main() -> None:
    for count in (9, 30):
        for length in (1, 2, 3):
            graph = _identical_branches(count, length)
            print(f"ArchGraph, {count} identical branches of {length}: {_ms(graph.digest):.1f} ms")
    graphs = {
        "400 identical branches": _branches(400),
        "residual chain": _residual_chain(650),
        "random": _random(2000),
    }
    for name, values in graphs.items():
        last = len(values.values) - 1
        form = CanonicalForm(values, last)
        form.digest()
        ms = _ms(lambda v=values, i=last: v.digest([i]))  # type: ignore[misc]
        steps = form.steps / len(values.values)
        print(f"ValueGraph of {last + 1}, {name}: {ms:.0f} ms, {steps:.1f} colourings a value")


def _ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return min(times)


def _identical_branches(count: int, length: int) -> ArchGraph:
    v = count * length + 2
    adjacency = np.zeros((v, v), dtype=np.int64)
    for branch in range(count):
        path = [0, *(1 + step * count + branch for step in range(length)), v - 1]
        adjacency[path[:-1], path[1:]] = 1
    return ArchGraph((INPUT, *"a" * (v - 2), OUTPUT), adjacency)


def _branches(count: int) -> ValueGraph:
    """Make branches of two layers with weights of their own, whose middle is used twice."""
    graph = ValueGraph()
    x, ends = graph.source("input"), []
    for _ in range(count):
        middle = graph.apply("layer", [x, graph.source("weight")])
        end = graph.apply("layer", [middle, graph.source("weight")])
        ends.append(graph.apply("sum", [middle, end], unordered=True))
    graph.apply("sum", ends, unordered=True)
    return graph


def _residual_chain(count: int) -> ValueGraph:
    graph = ValueGraph()
    x = graph.source("input")
    for _ in range(count):
        layer = graph.apply("layer", [x, graph.source("weight")])
        x = graph.apply("sum", [x, layer], unordered=True, associative=True)
    return graph


def _random(count: int) -> ValueGraph:
    graph, rng = ValueGraph(), random.Random(0)
    values = [graph.source("weight") for _ in range(count // 7)]
    while len(graph.values) < count:
        inputs = [rng.choice(values), values[-1]]
        values.append(
            graph.apply("sum", inputs, True) if rng.random() < 0.5 else graph.apply("layer", inputs)
        )
    return graph


if __name__ == "__main__":
    main()
