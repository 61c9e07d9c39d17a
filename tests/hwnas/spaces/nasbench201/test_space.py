"""The cells of NAS-Bench-201: text, classes of equal graphs, neighbours."""

from __future__ import annotations

import itertools
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.nasbench201 import EDGES, OPERATIONS, Cell, NasBench201, cell_graph, parse_cell
from hwnas.testing import SearchSpaceContract

SPACE = NasBench201()
CELLS = st.tuples(*[st.sampled_from(OPERATIONS)] * len(EDGES)).map(Cell)


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return NasBench201(channels=4, cells=1)


def cell(**edges: str) -> Cell:
    """Make a cell from its operations by edge, e.g. `e01="nor_conv_1x1"`; others are `none`."""
    return Cell(tuple(edges.get(f"e{s}{t}", "none") for s, t in EDGES))


def key(**edges: str) -> str:
    return SPACE.canonical_key(cell(**edges))


C1, C3, SKIP, POOL = "nor_conv_1x1", "nor_conv_3x3", "skip_connect", "avg_pool_3x3"


def test_text_order_is_that_of_the_official_string() -> None:
    operations = ("avg_pool_3x3", "nor_conv_1x1", "skip_connect", "nor_conv_3x3", "none", SKIP)
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    assert str(Cell(operations)) == text
    assert parse_cell(text) == Cell(operations)
    assert SPACE.encode(Cell(operations))["edge_0_3"] == "nor_conv_3x3"
    assert SPACE.encode(Cell(operations))["edge_1_2"] == "skip_connect"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("|none~0|+|none~0|none~1|", "3 nodes joined by '+', but got 2"),
        ("none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "Node 1 must begin and end with '|'"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "Node 2 must have 2 edges, but got 1"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "Edge 1 of node 2"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "'operation~0', but got 'none~1'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none|", "Edge 2 of node 3"),
        ("|none~0|+|none~0|conv~1|+|none~0|none~1|none~2|", "operation on edge 1>2"),
        ("|nor_conv_3x4~0|+|none~0|none~1|+|none~0|none~1|none~2|", "mean 'nor_conv_3x3'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2||", "Node 3 must have 3 edges, but got 4"),
        ("|none ~0|+|none~0|none~1|+|none~0|none~1|none~2|", "operation on edge 0>1"),
    ],
)
def test_parse_error_names_what_is_wrong(text: str, named: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=re.escape(named)):
        SPACE.parse(text)


def test_cell_refuses_wrong_operations() -> None:
    with pytest.raises(InvalidArchitectureError, match="6 entries, one an edge, but got 5"):
        Cell((C1,) * 5)
    with pytest.raises(InvalidArchitectureError, match=r"edge 2>3.*'conv_3x3'"):
        Cell((C1,) * 5 + ("conv_3x3",))


def test_decode_names_missing_parameters_and_leaves_others_alone() -> None:
    parameters = SPACE.encode(cell(e01=C1))
    assert SPACE.decode({**parameters, "learning_rate": 0.1}) == cell(e01=C1)
    del parameters["edge_1_2"]
    with pytest.raises(InvalidArchitectureError, match="edge_1_2, but it is missing"):
        SPACE.decode(parameters)


@pytest.mark.parametrize("settings", [{"channels": 0}, {"cells": -1}])
def test_settings_must_be_positive(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidValueError, match="at least 1"):
        NasBench201(**settings)


def test_24_neighbours_at_distance_one() -> None:
    start = cell(e01=C1, e13=C3)
    neighbours = SPACE.neighbours(start)
    assert len(set(neighbours)) == 6 * 4
    for other in neighbours:
        assert sum(a != b for a, b in zip(start.operations, other.operations, strict=True)) == 1


def test_sampling_is_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng).operations for _ in range(5000)]
    for edge in range(6):
        share = [sum(o[edge] == name for o in drawn) / len(drawn) for name in OPERATIONS]
        # Five standard deviations of a share of 1/5 in 5,000 draws.
        assert max(abs(s - 0.2) for s in share) < 5 * (0.2 * 0.8 / 5000) ** 0.5


def test_cells_are_values() -> None:
    assert pickle.loads(pickle.dumps(cell(e03=C1))) == cell(e03=C1)
    assert len({cell(e03=C1), cell(e03=C1), cell(e03=C3)}) == 2


@pytest.mark.parametrize(
    ("edges", "live", "valid"),
    [
        ({}, True, False),
        ({"e03": C1}, True, True),
        ({"e01": C1, "e03": C3}, False, True),  # node 1 leads nowhere
        ({"e03": C3, "e23": C1}, False, True),  # node 2 gets nothing
        ({"e01": C1}, False, False),
        ({"e01": C1, "e12": SKIP, "e23": C3}, True, True),
        ({"e01": C1, "e12": POOL, "e13": SKIP}, False, True),
    ],
)
def test_live_and_valid(edges: dict[str, str], live: bool, valid: bool) -> None:
    assert cell(**edges).is_live() is live
    assert SPACE.is_valid(cell(**edges)) is valid


def test_exchanging_the_inner_nodes_of_parallel_paths_changes_nothing() -> None:
    assert key(e01=C1, e13=C3, e02=POOL, e23=C1) == key(e02=C1, e23=C3, e01=POOL, e13=C1)


def test_dead_operations_change_nothing() -> None:
    assert key(e03=C1, e01=C3) == key(e03=C1) == key(e03=C1, e23=POOL)
    assert key() == key(e01=C1, e02=POOL)


def test_a_key_is_the_digest_of_the_graph_with_or_without_dead_operations() -> None:
    rng = np.random.default_rng(1)
    cells = [SPACE.sample(rng) for _ in range(50)]
    assert not all(cell.is_live() for cell in cells)
    assert [SPACE.canonical_key(c) for c in cells] == [cell_graph(c).digest() for c in cells]


def test_skip_is_contracted() -> None:
    assert key(e01=SKIP, e13=C3) == key(e03=C3) == key(e01=C3, e12=SKIP, e23=SKIP)
    assert key(e03=SKIP) == key(e01=SKIP, e13=SKIP)
    assert key(e03=SKIP) != key()


def test_sums_are_multisets() -> None:
    once = key(e03=SKIP)
    twice = key(e03=SKIP, e01=SKIP, e13=SKIP)
    thrice = key(e03=SKIP, e01=SKIP, e13=SKIP, e02=SKIP, e23=SKIP)
    assert len({once, twice, thrice}) == 3
    assert twice == key(e01=SKIP, e13=SKIP, e02=SKIP, e23=SKIP)


def test_one_convolution_used_twice_differs_from_two_convolutions() -> None:
    used_twice = key(e01=C3, e13=SKIP, e12=SKIP, e23=SKIP)
    assert used_twice != key(e01=C3, e13=SKIP, e02=C3, e23=SKIP)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations((C1, C3, POOL, SKIP), 2)))
def test_operations_are_told_apart(one: str, other: str) -> None:
    assert key(e03=one) != key(e03=other)


@given(CELLS)
@settings(max_examples=50, deadline=None)
def test_representative_is_live_and_computes_the_same(arch: Cell) -> None:
    chosen = SPACE.representative(arch)
    assert chosen.is_live()
    assert SPACE.canonical_key(chosen) == SPACE.canonical_key(arch)
    assert SPACE.representative(chosen) == chosen


@given(CELLS)
@settings(max_examples=100, deadline=None)
def test_graph_counts_paths(arch: Cell) -> None:
    """Paths through the graph correspond to paths of operations through the cell."""
    paths: list[tuple[str, ...]] = []
    for inner in ((), (1,), (2,), (1, 2)):
        nodes = (0, *inner, 3)
        operation = dict(arch.edges())
        steps = [operation[pair] for pair in itertools.pairwise(nodes)]
        if "none" not in steps:
            paths.append(tuple(o for o in steps if o != "skip_connect"))
    graph = cell_graph(arch)

    def walks(node: int) -> list[tuple[str, ...]]:
        if node == 0:
            return [()]
        mine = () if node == len(graph) - 1 else (graph.operations[node],)
        return [
            (*walk, *mine)
            for i in range(node)
            for _ in range(int(graph.adjacency[i, node]))
            for walk in walks(i)
        ]

    assert sorted(walks(len(graph) - 1)) == sorted(paths)
