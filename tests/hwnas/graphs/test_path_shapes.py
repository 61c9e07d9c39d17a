"""Paths of a graph together, counted by hand."""

from __future__ import annotations

import numpy as np

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.graphs.path_shapes import PathShapes
from hwnas.graphs.paths import MOST_PATHS
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies.features import PoolInputs
from hwnas.study.configuration import reference_sample


def chain(*operations: str) -> ArchGraph:
    size = len(operations) + 2
    return ArchGraph(("input", *operations, "output"), np.eye(size, k=1, dtype=np.int64))


def residual(*operations: str) -> ArchGraph:
    graph = chain(*operations)
    shortcut = graph.adjacency.copy()
    shortcut[0, -1] = 1
    return ArchGraph(graph.operations, shortcut)


def test_the_columns_of_a_residual_by_hand() -> None:
    unscaled = PathShapes(("conv", "pool"), 3, np.zeros(17), np.ones(17))
    (found,) = np.expm1(unscaled([residual("conv", "conv", "pool")]))
    np.testing.assert_allclose(
        found,
        [
            *(2, 1, 0, 0, 1),  # paths, and those of 0, 1, 2 and 3 operations
            *(3, 0, 1.5, 3),  # the most, fewest and mean operations, and all
            *(2, 0, 1, 2),  # convolutions likewise
            *(1, 0, 0.5, 1),  # pools
        ],
        atol=1e-12,
    )


def test_columns_are_scaled_by_the_sample_and_new_graphs_by_it() -> None:
    graphs = [chain("conv"), chain("conv", "conv"), residual("conv"), residual("conv", "pool")]
    shapes = PathShapes.of(graphs)
    table = shapes(graphs)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(table.std(axis=0), 1)
    np.testing.assert_array_equal(shapes(graphs[2:3])[0], table[2])
    assert shapes([]).shape == (0, table.shape[1])


def test_too_many_paths_have_the_mean_and_no_graphs_no_column() -> None:
    many = ArchGraph(("input", "conv", "output"), np.eye(3, k=1, dtype=np.int64) * MOST_PATHS)
    shapes = PathShapes.of([chain("conv"), residual("conv"), many])
    assert not shapes([many]).any()
    assert shapes([chain("conv")]).any()
    for nothing in ([], [chain("conv")], [many]):
        assert PathShapes.of(nothing)([chain("conv")]).shape == (1, 0)


def test_they_are_a_group_of_inputs() -> None:
    space = NasBench201()
    pool = reference_sample(space, 40, 0)
    groups = PoolInputs.of(space, pool, {})(pool, {})
    graphs = [space.to_graph(arch) for arch in pool]
    np.testing.assert_array_equal(groups[-1], PathShapes.of(graphs)(graphs))


def test_what_is_equal_in_the_sample_has_no_column_in_spite_of_rounding() -> None:
    longest = [n for n in range(1, 30) if np.full(7, np.log1p(n)).std() > 0]
    assert longest, "the deviation of equal logarithms is no zero for some"
    for n in longest:
        graphs = [chain(*["conv"] * n)] * 6 + [residual(*["conv"] * n)]
        assert np.abs(PathShapes.of(graphs)([chain("conv")])).max() < 100
