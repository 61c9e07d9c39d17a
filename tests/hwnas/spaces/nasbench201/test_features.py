"""GRAF features against numbers read off a drawn cell and against a graph library."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwnas.spaces.nasbench201 import OPERATIONS, Cell, NasBench201, parse_cell
from hwnas.spaces.nasbench201.features import graf_features, graf_names

# 0>1 conv3, 0>2 none, 1>2 skip, 0>3 skip, 1>3 none, 2>3 conv1.
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def features(cell: Cell) -> dict[str, float]:
    return dict(zip(graf_names(), graf_features([cell])[0].tolist(), strict=True))


def test_features_of_a_drawn_cell() -> None:
    found = features(parse_cell(CELL))
    assert len(found) == 5 + 31 * 5
    counts = [found[f"count[{name}]"] for name in OPERATIONS]
    assert counts == [2, 2, 1, 1, 0]
    everything = "+".join(OPERATIONS)
    for operations, expected in {
        # 0>3 and 1>2: the only path is the direct one.
        "skip_connect": (1, 1, 1, 1, 2 / 4),
        # 0>1, 1>2, 0>3, 2>3: the direct path and the one through 1 and 2.
        "skip_connect+nor_conv_1x1+nor_conv_3x3": (1, 3, 2, 2, 4 / 4),
        # 0>2 and 1>3 and 2>3: 0>2>3.
        "none+nor_conv_1x1": (2, 2, 1, 2, 3 / 4),
        # 0>1 and 2>3 do not meet.
        "nor_conv_1x1+nor_conv_3x3": (5, -1, 1, 1, 2 / 4),
        "avg_pool_3x3": (5, -1, 0, 0, 0),
        everything: (1, 3, 3, 3, 6 / 4),
    }.items():
        names = ("min_path", "max_path", "input_degree", "output_degree", "average_degree")
        assert tuple(found[f"{name}[{operations}]"] for name in names) == expected


def test_features_against_a_graph_library() -> None:
    nx = pytest.importorskip("networkx")
    space, rng = NasBench201(), np.random.default_rng(5)
    for cell in (space.sample(rng) for _ in range(15)):
        found = features(cell)
        for size in range(1, 6):
            for chosen in itertools.combinations(OPERATIONS, size):
                graph = nx.DiGraph([edge for edge, o in cell.edges() if o in chosen])
                graph.add_nodes_from(range(4))
                paths = [len(path) - 1 for path in nx.all_simple_paths(graph, 0, 3)]
                of = "+".join(chosen)
                assert found[f"min_path[{of}]"] == min(paths, default=5)
                assert found[f"max_path[{of}]"] == max(paths, default=-1)
                assert found[f"input_degree[{of}]"] == graph.out_degree(0)
                assert found[f"output_degree[{of}]"] == graph.in_degree(3)
                assert found[f"average_degree[{of}]"] == graph.number_of_edges() / 4


def test_many_cells_at_once() -> None:
    space, rng = NasBench201(), np.random.default_rng(6)
    cells = [space.sample(rng) for _ in range(20)]
    together = graf_features(cells)
    np.testing.assert_array_equal(together[7], graf_features([cells[7]])[0])
    assert graf_features([]).shape == (0, 160)
    assert len(set(graf_names())) == 160
