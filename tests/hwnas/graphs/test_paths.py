import numpy as np

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.graphs.paths import MOST_PATHS, _paths, path_counts
from hwnas.spaces.nasbench201 import NasBench201


def chain(*operations: str) -> ArchGraph:
    size = len(operations) + 2
    return ArchGraph(("input", *operations, "output"), np.eye(size, k=1, dtype=np.int64))


def test_the_paths_of_a_cell_by_hand() -> None:
    space = NasBench201()
    # Edges 0>1 a, 0>2 b, 1>2 a, 0>3 skip, 1>3 b, 2>3 a: paths skip, ab, ba, aaa.
    text = "|a~0|+|b~0|a~1|+|s~0|b~1|a~2|"
    for short, name in (("a~", "nor_conv_3x3~"), ("b~", "nor_conv_1x1~"), ("s~", "skip_connect~")):
        text = text.replace(f"|{short}", f"|{name}")
    paths = _paths(space.to_graph(space.parse(text)))
    assert paths is not None
    a, b = "nor_conv_3x3", "nor_conv_1x1"
    ordered = {route: n for route, n in paths.items() if not route or route[0]}
    assert ordered == {(): 1, (a, b): 1, (b, a): 1, (a, a, a): 1}
    assert {r: n for r, n in paths.items() if r and not r[0]} == {
        ("",): 1,
        ("", b, a): 2,
        ("", a, a, a): 1,
    }


def test_columns_vary_and_are_shared() -> None:
    graphs = [chain("a"), chain("a"), chain("b"), chain("b"), chain("c")]
    table = path_counts(graphs)
    # a and b, ordered and sorted; c is in one graph alone.
    assert table.shape == (5, 4)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-12)
    assert table.std(axis=0).mean() == 1
    assert path_counts([chain("a")] * 3).shape == (3, 0)
    assert path_counts([chain("a"), chain("b")]).shape == (2, 0)


def test_too_many_paths_are_not_listed() -> None:
    adjacency = np.eye(4, k=1, dtype=np.int64) * MOST_PATHS
    graph = ArchGraph(("input", "a", "a", "output"), adjacency)
    assert _paths(graph) is None
    assert path_counts([graph, chain("a")]).shape == (2, 0)


def test_what_all_graphs_have_alike_has_no_column_in_spite_of_rounding() -> None:
    doubled = ArchGraph(("input", "conv", "output"), np.eye(3, k=1, dtype=np.int64) * 2)
    for n in range(2, 40):
        assert path_counts([doubled] * n).shape == (n, 0)
