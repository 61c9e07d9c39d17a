"""Populations of NAS-Bench-201, counted over all 15,625 cells."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from hwnas.spaces.nasbench201 import Cell, NasBench201

SPACE = NasBench201()


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return list(SPACE)


def expression(cell: Cell, dead: bool) -> str:
    """Write a cell as nested text: a skip is its input's text, terms are sorted as text.

    With `dead`, a term that is `none` or starts from a dead node is written '#'. Sums within sums
    are not flattened in brackets, so the count belongs to just this way of writing.
    """
    text = ["0"]
    for node in (1, 2, 3):
        terms = []
        for (source, target), operation in cell.edges():
            if target != node:
                continue
            if dead and (operation == "none" or text[source] == "#"):
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(text[source])
            else:
                terms.append(f"({text[source]})@{operation}")
        text.append("+".join(sorted(terms)))
    return text[3]


Slow = tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]


def slow_graph(cell: Cell) -> Slow:
    """Give operations in alphabetic order and how often each one's value enters the others.

    Paths are enumerated, so nothing of `cell_graph` is used. Entry (i, j) counts the skip-only
    ways from operation i to operation j; index 0 is the input, the last one the output.
    """
    operation = dict(cell.edges())
    ways: list[tuple[tuple[int, int], ...]] = [
        tuple(itertools.pairwise((0, *inner, 3))) for inner in ((), (1,), (2,), (1, 2))
    ]
    ways = [way for way in ways if all(operation[edge] != "none" for edge in way)]
    used = {edge for way in ways for edge in way if operation[edge] != "skip_connect"}
    nodes = sorted(used, key=lambda edge: (operation[edge], edge))
    number: dict[object, int] = {"in": 0, "out": len(nodes) + 1}
    number |= {edge: i for i, edge in enumerate(nodes, start=1)}
    links = {link for way in ways for link in _links(way, used)}
    matrix = [[0] * (len(nodes) + 2) for _ in range(len(nodes) + 2)]
    for tail, head, _ in links:
        matrix[number[tail]][number[head]] += 1
    return tuple(operation[edge] for edge in nodes), tuple(map(tuple, matrix))


def _links(
    way: tuple[tuple[int, int], ...], used: set[tuple[int, int]]
) -> Iterator[tuple[object, object, tuple[tuple[int, int], ...]]]:
    """Cut a way at its operations: (from, to, the skips between)."""
    tail: object = "in"
    skips: tuple[tuple[int, int], ...] = ()
    for edge in way:
        if edge in used:
            yield tail, edge, skips
            tail, skips = edge, ()
        else:
            skips = (*skips, edge)
    yield tail, "out", skips


def slow_canonical(graph: Slow) -> Slow:
    """Give the smallest matrix over all renumberings of equal operations."""
    operations, matrix = graph
    groups = [list(g) for _, g in itertools.groupby(range(len(operations)), operations.__getitem__)]
    best: tuple[tuple[int, ...], ...] | None = None
    for choice in itertools.product(*(itertools.permutations(group) for group in groups)):
        order = (0, *(i + 1 for group in choice for i in group), len(operations) + 1)
        candidate = tuple(tuple(matrix[i][j] for j in order) for i in order)
        if best is None or candidate < best:
            best = candidate
    assert best is not None
    return operations, best


def test_all_cells(cells: list[Cell]) -> None:
    assert len(cells) == len(set(cells)) == len(SPACE) == 15_625


def test_live_cells(cells: list[Cell]) -> None:
    live = [cell for cell in cells if cell.is_live()]
    assert len(live) == 9_445
    assert sum(SPACE.is_valid(cell) for cell in live) == 9_444
    assert [cell for cell in live if not SPACE.is_valid(cell)] == [Cell(("none",) * 6)]


def test_cells_without_a_path(cells: list[Cell]) -> None:
    assert sum(not SPACE.is_valid(cell) for cell in cells) == 341


def test_expressions_of_the_literature(cells: list[Cell]) -> None:
    assert len({expression(cell, dead=True) for cell in cells}) == 6_466
    assert len({expression(cell, dead=False) for cell in cells}) == 12_751


def test_classes_are_those_of_brute_force(cells: list[Cell]) -> None:
    known: dict[Slow, Slow] = {}
    pairs = Counter[tuple[str, Slow]]()
    for cell in cells:
        graph = slow_graph(cell)
        if graph not in known:
            known[graph] = slow_canonical(graph)
        pairs[SPACE.canonical_key(cell), known[graph]] += 1
    assert len(pairs) == 5_425
    assert len({key for key, _ in pairs}) == 5_425
    assert len({graph for _, graph in pairs}) == 5_425


def test_every_class_has_a_live_representative(cells: list[Cell]) -> None:
    chosen = {SPACE.representative(cell) for cell in cells}
    assert len(chosen) == 5_425
    assert all(cell.is_live() for cell in chosen)
