"""Computation graphs: checks, dead nodes, and the canonical form against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import InvalidValueError
from hwnas.graphs import arch_graph
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph


@st.composite
def dags(draw: st.DrawFn, largest: int = 4, labels: str = "ab", edges: int = 2) -> ArchGraph:
    inner = draw(st.lists(st.sampled_from(labels), max_size=largest))
    v = len(inner) + 2
    flat = draw(st.lists(st.integers(0, edges), min_size=v * v, max_size=v * v))
    adjacency = np.triu(np.array(flat, dtype=np.int64).reshape(v, v), 1)
    return ArchGraph((INPUT, *inner, OUTPUT), adjacency)


def renumber(graph: ArchGraph, order: tuple[int, ...]) -> ArchGraph | None:
    """Put nodes into another order; None where an edge would point backwards."""
    matrix = graph.adjacency[np.ix_(order, order)]
    if np.tril(matrix).any():
        return None
    return ArchGraph(tuple(graph.operations[i] for i in order), matrix)


def renumberings(graph: ArchGraph) -> list[ArchGraph]:
    last = len(graph) - 1
    orders = [(0, *inner, last) for inner in itertools.permutations(range(1, last))]
    return [other for other in (renumber(graph, order) for order in orders) if other is not None]


def same(a: ArchGraph, b: ArchGraph) -> bool:
    return a.operations == b.operations and np.array_equal(a.adjacency, b.adjacency)


@given(dags())
@settings(max_examples=150, deadline=None)
def test_canonical_form_is_one_for_all_renumberings(graph: ArchGraph) -> None:
    forms = [other.canonical() for other in renumberings(graph)]
    assert all(same(form, forms[0]) for form in forms)
    assert any(same(forms[0], other) for other in renumberings(graph))
    assert {other.digest() for other in renumberings(graph)} == {graph.digest()}


@given(dags(largest=3, labels="a", edges=1), dags(largest=3, labels="a", edges=1))
@settings(max_examples=300, deadline=None)
def test_digest_is_equal_exactly_for_isomorphic_graphs(one: ArchGraph, other: ArchGraph) -> None:
    isomorphic = any(same(candidate, other) for candidate in renumberings(one))
    assert (one.digest() == other.digest()) is isomorphic


def test_regular_graphs_that_refinement_cannot_split() -> None:
    """Every node looks like the others: one cycle of 12 nodes against two of 6."""
    assert layers(6).digest() != layers(3, 3).digest()


@pytest.mark.parametrize("cycles", [(6,), (3, 3), (2, 3), (2, 2, 3)])
def test_renumbered_regular_graphs_are_recognised(cycles: tuple[int, ...]) -> None:
    """With cycles of two lengths, equal-looking nodes differ: each must be tried."""
    graph, n = layers(*cycles), sum(cycles)
    rng = np.random.default_rng(0)
    for _ in range(5):
        order = (0, *(1 + rng.permutation(n)), *(1 + n + rng.permutation(n)), 2 * n + 1)
        moved = renumber(graph, tuple(int(i) for i in order))
        assert moved is not None
        assert moved.digest() == graph.digest()


def layers(*cycles: int) -> ArchGraph:
    """Make n sources and n sinks; source i of a cycle feeds sinks i and i + 1 of that cycle."""
    n = sum(cycles)
    adjacency = np.zeros((2 * n + 2, 2 * n + 2), dtype=np.int64)
    adjacency[0, 1 : n + 1] = 1
    adjacency[n + 1 : -1, -1] = 1
    start = 1
    for length in cycles:
        for i in range(length):
            for j in (i, (i + 1) % length):
                adjacency[start + i, n + start + j] = 1
        start += length
    return ArchGraph((INPUT, *"a" * (2 * n), OUTPUT), adjacency)


def parallel(branches: list[str], order: list[int]) -> ArchGraph:
    """Make chains of operations side by side, in an order that also mixes their node numbers."""
    chains = [branches[i] for i in order]
    longest = max(map(len, chains))
    places = [(depth, b) for depth in range(longest) for b in range(len(chains))]
    places = [(depth, b) for depth, b in places if depth < len(chains[b])]
    number = {place: i for i, place in enumerate(places, start=1)}
    adjacency = np.zeros((len(places) + 2, len(places) + 2), dtype=np.int64)
    for (depth, b), i in number.items():
        adjacency[number.get((depth - 1, b), 0), i] = 1
        if depth == len(chains[b]) - 1:
            adjacency[i, -1] = 1
    labels = (chains[b][depth] for depth, b in places)
    return ArchGraph((INPUT, *labels, OUTPUT), adjacency)


@pytest.mark.parametrize("count", [9, 30])
@pytest.mark.parametrize("chain", ["a", "ab", "aba"])
def test_many_identical_branches(count: int, chain: str) -> None:
    """Trying all orders of 30 branches would take longer than the universe is old."""
    rng = np.random.default_rng(0)
    order = [int(i) for i in rng.permutation(count)]
    graph = parallel([chain] * count, order)
    moved = parallel([chain] * (count - 1) + [f"{chain}c"], order)
    assert graph.digest() == parallel([chain] * count, order[::-1]).digest()
    assert moved.digest() == parallel([chain] * (count - 1) + [f"{chain}c"], order[::-1]).digest()
    assert moved.digest() != graph.digest()
    assert graph.digest() != parallel([chain] * (count + 1), [*order, count]).digest()


@pytest.mark.parametrize("chain", ["a", "ab", "aba"])
def test_orders_of_identical_branches_are_not_tried(
    chain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One colouring for each branch that is told apart, and none to see that others are alike."""
    calls = []
    refine = arch_graph._refine

    def counted(neighbours: Any, colours: list[int]) -> list[int]:
        calls.append(1)
        return refine(neighbours, colours)

    monkeypatch.setattr(arch_graph, "_refine", counted)
    parallel([chain] * 9, list(range(9))).digest()
    assert len(calls) <= 9


@given(st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=4), st.randoms())
@settings(max_examples=60, deadline=None)
def test_branches_are_a_multiset(branches: list[str], random: Any) -> None:
    order = list(range(len(branches)))
    random.shuffle(order)
    assert parallel(branches, order).digest() == parallel(sorted(branches), sorted(order)).digest()


@given(dags(largest=5, labels="a", edges=1), st.data())
@settings(max_examples=150, deadline=None)
def test_nodes_that_look_alike_against_all_renumberings(graph: ArchGraph, data: Any) -> None:
    """One more edge or one less makes another graph, unless some renumbering says otherwise."""
    v = len(graph)
    i, j = sorted(data.draw(st.lists(st.integers(0, v - 1), min_size=2, max_size=2, unique=True)))
    flipped = graph.adjacency.copy()
    flipped[i, j] = 1 - flipped[i, j]
    other = ArchGraph(graph.operations, flipped)
    isomorphic = any(same(candidate, other) for candidate in renumberings(graph))
    assert (graph.digest() == other.digest()) is isomorphic


@given(dags(edges=1))
@settings(max_examples=150, deadline=None)
def test_nodes_without_a_path_are_dropped(graph: ArchGraph) -> None:
    """Enumerate all paths from input to output: only their nodes and edges remain."""
    last = len(graph) - 1
    nodes, edges = {0, last}, set[tuple[int, int]]()
    for size in range(last):
        for inner in itertools.combinations(range(1, last), size):
            path = (0, *inner, last)
            steps = list(itertools.pairwise(path))
            if all(graph.adjacency[step] for step in steps):
                nodes |= set(path)
                edges |= set(steps)
    kept = sorted(nodes)
    reduced = graph.without_dead_nodes()
    assert reduced.operations == tuple(graph.operations[i] for i in kept)
    found = {(kept[i], kept[j]) for i, j in zip(*np.nonzero(reduced.adjacency), strict=True)}
    assert found == edges


def test_multiplicity_counts() -> None:
    once, twice = (ArchGraph((INPUT, OUTPUT), np.array([[0, n], [0, 0]])) for n in (1, 2))
    assert once.digest() != twice.digest()
    assert len(once) == 2


@pytest.mark.parametrize(
    ("operations", "adjacency", "named"),
    [
        ((INPUT,), np.zeros((1, 1)), "start with 'input' and end with 'output'"),
        ((INPUT, "a"), np.zeros((2, 2)), "start with 'input' and end with 'output'"),
        ((OUTPUT, INPUT), np.zeros((2, 2)), "start with 'input' and end with 'output'"),
        ((INPUT, OUTPUT), np.zeros((3, 3)), r"shape \(2, 2\), but got \(3, 3\)"),
        ((INPUT, OUTPUT), np.array([[0, 0], [1, 0]]), "strictly upper triangular"),
        ((INPUT, OUTPUT), np.eye(2), "strictly upper triangular"),
        ((INPUT, OUTPUT), np.array([[0, -1], [0, 0]]), "not negative"),
    ],
)
def test_malformed_graphs_are_refused(
    operations: tuple[str, ...], adjacency: np.ndarray, named: str
) -> None:
    with pytest.raises(InvalidValueError, match=named):
        ArchGraph(operations, adjacency.astype(np.int64))
