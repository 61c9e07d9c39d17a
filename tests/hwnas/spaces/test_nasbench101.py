"""NAS-Bench-101: specifications, the published hash and count of networks, and published sizes."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.nasbench101 import (
    EDGES,
    MAX_EDGES,
    OPERATIONS,
    Module101,
    NasBench101,
    module_of,
    published_hash,
)
from hwnas.spaces.nasbench101_network import ModuleBlock, vertex_channels
from hwnas.testing import FacetsContract, SearchSpaceContract, draw

SPACE, SMALL = NasBench101(), NasBench101(channels=8, modules=1)
# The Inception-like module of the published code's first example.
MATRIX = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
NAMES = [
    "input",
    "conv1x1-bn-relu",
    *["conv3x3-bn-relu"] * 3,
    "maxpool3x3",
    "output",
]
INCEPTION = module_of(MATRIX, NAMES)


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> NasBench101:
        return SMALL


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> NasBench101:
        return SMALL


def test_the_published_example_has_its_published_parameters() -> None:
    with torch.device("meta"):
        network = SPACE.build(INCEPTION)
    assert count(network, (3, 32, 32)).params == 2_694_282
    operations = "conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3"
    assert str(INCEPTION) == f"111010/00001/0001/100/01/1|{operations}"


def test_the_first_module_of_the_data_set_has_its_published_hash_and_parameters() -> None:
    first = module_of(
        [
            [0, 1, 0, 0, 1, 1, 0],
            [0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 1],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        ["conv3x3", "maxpool3x3", "conv3x3", "conv3x3", "conv1x1"],
    )
    assert SPACE.canonical_key(first) == "00005c142e6f48ac74fdcf73e3439874"
    with torch.device("meta"):
        network = SPACE.build(first)
    assert sum(p.numel() for p in network.parameters()) == 8_555_530


def test_the_published_order_of_the_same_module_has_the_same_hash() -> None:
    # The data set answers for that module with its vertices in another order.
    stored = module_of(
        [
            [0, 1, 1, 1, 1, 0, 0],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        ["conv3x3", "conv1x1", "maxpool3x3", "conv3x3", "conv3x3"],
    )
    assert stored != INCEPTION
    assert SPACE.canonical_key(stored) == SPACE.canonical_key(INCEPTION)
    assert SPACE.representative(stored) == SPACE.representative(INCEPTION)


@pytest.mark.parametrize(
    ("edges", "labels", "other_edges", "other_labels", "equal"),
    [
        # A diamond with its operations swapped.
        ("0-1 0-2 1-3 2-3", (1, 2), "0-1 0-2 1-3 2-3", (2, 1), True),
        # A chain whose operations are reversed: needs directions and the vertex itself.
        ("0-1 1-2 2-3 3-4", (1, 0, 0), "0-1 1-2 2-3 3-4", (0, 0, 1), False),
        # A chain with a shortcut and its operations swapped.
        ("0-1 0-3 1-2 2-3", (1, 0), "0-1 0-3 1-2 2-3", (0, 1), False),
        ("0-1 0-2 1-4 2-3 3-4", (1, 2, 0), "0-1 0-3 1-2 2-4 3-4", (2, 0, 1), True),
    ],
)
def test_hashes_are_equal_for_isomorphic_modules(
    edges: str,
    labels: tuple[int, ...],
    other_edges: str,
    other_labels: tuple[int, ...],
    equal: bool,
) -> None:
    def hashed(edges: str, labels: tuple[int, ...]) -> str:
        matrix = np.zeros((len(labels) + 2,) * 2, dtype=np.int64)
        for edge in edges.split():
            source, target = map(int, edge.split("-"))
            matrix[source, target] = 1
        return published_hash(matrix, [OPERATIONS[label] for label in labels])

    assert (hashed(edges, labels) == hashed(other_edges, other_labels)) is equal


def test_dead_vertices_make_no_other_network() -> None:
    for arch in draw(SMALL, 30):
        matrix, operations = arch.pruned
        small = module_of(matrix.tolist(), operations)
        assert SMALL.canonical_key(small) == SMALL.canonical_key(arch)
        assert small.pruned[1] == operations


def forms(matrices: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Give a number that is equal for isomorphic graphs, whatever stands at their vertices.

    It is the least number that the bits of the adjacency make over all orders of the vertices
    between the first and the last one.

    Args:
        matrices: `(n, v, v)` adjacencies.
    """
    v = matrices.shape[1]
    weights = 1 << np.arange(v * v, dtype=np.int64)
    least = np.full(len(matrices), np.iinfo(np.int64).max)
    for inner in itertools.permutations(range(1, v - 1)):
        order = [0, *inner, v - 1]
        moved = matrices[:, order][:, :, order].reshape(len(matrices), -1)
        least = np.minimum(least, moved @ weights)
    return least


def full_graphs(v: int) -> npt.NDArray[np.bool_]:
    """Give every `(n, v, v)` upper triangular graph without dead vertices, of at most 9 edges."""
    places = np.triu_indices(v, 1)
    bits = np.arange(2 ** len(places[0]))[:, None] >> np.arange(len(places[0])) & 1 > 0
    bits = bits[bits.sum(axis=1) <= MAX_EDGES]
    matrices = np.zeros((len(bits), v, v), dtype=np.bool_)
    matrices[:, places[0], places[1]] = bits
    # Each vertex but the output has an edge out of it, each but the input one into it: in an
    # acyclic graph all are then between the two.
    out_of, into = np.sum(matrices, axis=2)[:, :-1], np.sum(matrices, axis=1)[:, 1:]
    alive = np.minimum(out_of.min(axis=1), into.min(axis=1)) > 0
    kept: npt.NDArray[np.bool_] = matrices[alive]
    return kept


def count_networks(v: int) -> int:
    """Count the graphs of v vertices with operations, isomorphic ones once (Burnside's lemma)."""
    matrices = full_graphs(v)
    _, first = np.unique(forms(matrices), return_index=True)
    kept = matrices[first]
    sums, symmetries = np.zeros(len(kept)), np.zeros(len(kept))
    for inner in itertools.permutations(range(1, v - 1)):
        order = [0, *inner, v - 1]
        same = (kept[:, order][:, :, order] == kept).all(axis=(1, 2))
        seen: set[int] = set()
        cycles = 0
        for vertex in range(1, v - 1):
            cycles += vertex not in seen
            while vertex not in seen:
                seen.add(vertex)
                vertex = order[vertex]
        sums += same * len(OPERATIONS) ** cycles
        symmetries += same
    return int((sums / symmetries).sum())


def test_as_many_networks_as_published() -> None:
    assert sum(map(count_networks, range(2, 8))) == 423_624


def test_keys_tell_small_modules_apart() -> None:
    for v in (2, 3, 4, 5):
        keys = {
            published_hash(matrix.astype(np.int64), operations)
            for matrix in full_graphs(v)
            for operations in itertools.product(OPERATIONS, repeat=v - 2)
        }
        assert len(keys) == count_networks(v)


def test_channels_of_vertices() -> None:
    # Of 16 channels three vertices before the output get 6, 5 and 5, and the one before the first
    # of these has its 6: the sums of the published figure.
    matrix = np.array(
        [
            [0, 1, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 1, 1],
            [0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0],
        ]
    )
    assert vertex_channels(matrix, 16)[1:] == [5, 6, 5, 5, 16]


def test_a_module_against_its_formula() -> None:
    # input -> a -> output, input -> output: concatenation of a alone, plus the projected input.
    matrix = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    block = ModuleBlock(matrix, ["maxpool3x3"], 4, 6).eval()
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    first, last = block.projections["1"], block.projections["2"]
    with torch.no_grad():
        pooled = torch.nn.functional.max_pool2d(first(x), 3, stride=1, padding=1)
        torch.testing.assert_close(block(x), pooled + last(x))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("111010/00001/0001/100/01|conv1x1,conv3x3,conv3x3,conv3x3,conv3x3", "rows of 6, 5"),
        ("111010/00001/0001/100/01/1|conv1x1,conv3x3", "5 operations"),
        ("111010/00001/0001/100/01/1|conv1x1,conv3x3,conv3x3,conv3x3,conv5x5", "conv5x5"),
        ("000000/00001/0001/100/01/1|conv1x1,conv3x3,conv3x3,conv3x3,conv3x3", "path"),
        ("111111/11111/0000/000/00/0|conv1x1,conv3x3,conv3x3,conv3x3,conv3x3", None),
        ("111111/11111/1111/111/11/1|conv1x1,conv3x3,conv3x3,conv3x3,conv3x3", "at most 9 edges"),
    ],
)
def test_other_texts_are_one_line(text: str, said: str | None) -> None:
    if said is None:  # more than nine edges, but not of them between the input and the output
        assert str(SPACE.parse(text)) == text
        return
    with pytest.raises(InvalidArchitectureError, match=said) as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("matrix", "operations"),
    [
        ([[0, 1], [1, 0]], []),
        ([[0, 2], [0, 0]], []),
        ([[0, 1, 0], [0, 0, 1]], ["conv3x3"]),
        ([[0, 1], [0, 0]], ["conv3x3"]),
    ],
)
def test_other_specifications_are_refused(matrix: list[list[int]], operations: list[str]) -> None:
    with pytest.raises(InvalidArchitectureError):
        module_of(matrix, operations)


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="`modules` must be at least 1"):
        NasBench101(modules=0)
    assert len(EDGES) == 21
    assert isinstance(SMALL.sample(np.random.default_rng(3)), Module101)
