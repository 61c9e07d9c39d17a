from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas_predictors.encodings import one_hot
from hwnas_predictors.features import ArchFeatures
from hwnas_predictors.graph_counts import GraphCounts

FULL = parse_cell(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
)


def test_counts_of_choices_and_of_the_graph(space: NasBench201) -> None:
    features = ArchFeatures(space)
    counts, _, _, graph, _, every = features.blocks([FULL])
    # avg_pool_3x3, none, nor_conv_1x1, nor_conv_3x3, skip_connect, the dead ones included.
    assert counts[0].tolist() == [1, 1, 1, 2, 1]
    left = dict(zip(features.graph_names, graph[0].tolist(), strict=True))
    # Nothing leaves node 2, so only the first edge and the two into the output are left.
    assert left["nor_conv_3x3"] == 2
    assert left["nor_conv_1x1"] == left["avg_pool_3x3"] == 0
    assert left["path"] == GraphCounts(space.to_graph(FULL)).longest_path() == 3
    assert left["additions"] == 1
    assert left["merged nor_conv_3x3"] == 2
    assert left["nor_conv_3x3 in a row"] == 2
    assert left["nor_conv_1x1 in a row"] == 0
    # The input is kept for the output while both convolutions run.
    assert left["width"] == 2
    assert left["inputs"] == 3  # of the convolutions and of the output
    choices, g = 30, len(features.graph_names)
    assert every.shape == (1, choices + g + 15 * 25 + g * (g + 1) // 2 + 7)
    # avg_pool_3x3, nor_conv_1x1, nor_conv_3x3, additions.
    _, serial, paths, *_ = features.blocks([FULL], "pruned")
    assert serial[0].tolist() == [0, 0, 2, 1]
    # A device that executes dead operations runs more than what is left.
    assert not np.any(features.blocks([FULL])[1])
    assert not np.any(features.blocks([FULL])[2])
    # Two convolutions of 3 x 3 in a row; then each operation takes a quarter, and twice the time.
    assert paths[0].tolist() == [2, 2, 2, 2, 2, 0.5, 4]


def test_pairs_are_products_of_choices_of_two_edges(space: NasBench201) -> None:
    every = ArchFeatures(space).blocks([FULL])[-1][0]
    g = len(ArchFeatures(space).graph_names)
    pairs = every[30 + g : 30 + g + 15 * 25]
    assert pairs.sum() == 15
    assert set(np.unique(pairs)) == {0.0, 1.0}


def test_what_runs_in_parallel_is_not_in_a_row(space: NasBench201) -> None:
    cell = parse_cell(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    graph = space.to_graph(cell)
    counts = GraphCounts(graph)
    assert counts.most_in_a_row("nor_conv_3x3") == 2  # of three
    assert counts.most_in_a_row("nor_conv_1x1") == 1  # of two
    assert counts.width() == 3  # as many branches
    assert counts.distinct_inputs() == 3  # the two first convolutions of 3 x 3 are equal


def test_features_of_earlier_files(space: NasBench201) -> None:
    names = [ArchFeatures(space, layout=layout).graph_names for layout in (1, 2, 3)]
    assert [len(n) for n in names] == [6, 8, 13]
    assert names[2][:8] == names[1]
    blocks = [ArchFeatures(space, layout=n).blocks([FULL], "pruned") for n in (3, 4, 5, 6)]
    before, then, later, now = blocks
    assert [len(b) for b in blocks] == [3, 5, 6, 6]
    np.testing.assert_array_equal(before[-1], then[-1][:, :-7])
    for one, other, another in zip(then, [*later[:4], later[5]], [*now[:4], now[5]], strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, another)


def test_merged_branches_have_a_block(space: NasBench201) -> None:
    pools = (
        "|avg_pool_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
    )
    features = ArchFeatures(space)
    assert features.operations == ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
    assert features.merged is not None
    _, serial, *_ = blocks = features.blocks([parse_cell(pools)], "pruned")
    assert serial.tolist() == [[3, 0, 1, 2]]  # of three pools two are of the input
    assert blocks[features.merged].tolist() == [[2, 0, 1, 2]]
    assert features.blocks([], "pruned")[features.merged].shape == (0, 4)
    executed = features.blocks([parse_cell(pools)], "executed")
    assert not executed[features.merged].any()
    assert ArchFeatures(space, layout=4).merged is None


def test_convolutions_of_one_feature_map_are_not_equal(space: NasBench201) -> None:
    """Each has weights of its own, so no runtime runs two of them once; and so for what follows."""
    cell = parse_cell(
        "|nor_conv_1x1~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|none~1|avg_pool_3x3~2|"
    )
    serial, merged = (
        ArchFeatures(space).blocks([cell], "pruned")[block].tolist() for block in (1, 4)
    )
    assert serial == merged == [[2, 2, 0, 1]]
    earlier = ArchFeatures(space, layout=5).blocks([cell], "pruned")[4]
    assert earlier.tolist() == [[2, 1, 0, 1]]
    graph = space.to_graph(cell)
    assert GraphCounts(graph).merged_operations()["nor_conv_1x1"] == 1
    assert GraphCounts(graph, ["avg_pool_3x3"]).merged_operations()["nor_conv_1x1"] == 2


def test_a_cell_without_a_path_has_length_0(space: NasBench201) -> None:
    cell = parse_cell("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert GraphCounts(space.to_graph(cell)).longest_path() == 0
    assert GraphCounts(space.to_graph(cell)).most_in_a_row("nor_conv_3x3") == 0


def test_parameters_of_several_types_that_may_not_exist(conditional_space: Any) -> None:
    """One flag a parameter that exists; counts are by text, whatever the type."""
    shallow = {"depth": 1, "width_0": 8, "kind_0": "pool", "dropout": 0.1}
    deep = {"depth": 2, "width_0": 8, "kind_0": "pool", "width_1": 8, "kind_1": "conv"}
    archs = [conditional_space.decode(p) for p in (shallow, {**deep, "kernel_1": 3, "dropout": 0})]
    features = ArchFeatures(conditional_space)
    counts, choices = features.blocks(archs)[0], one_hot(conditional_space, archs)
    assert choices.sum(axis=1).tolist() == [4, 7]
    assert counts.sum(axis=1).tolist() == [4, 7]
    # Two layers of width 8 are one text that is chosen twice.
    assert counts.max(axis=1).tolist() == [1, 2]


def test_equal_networks_are_the_same_where_dead_operations_were_pruned(space: NasBench201) -> None:
    live = parse_cell("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|")
    assert space.canonical_key(live) == space.canonical_key(FULL)
    features = ArchFeatures(space)
    for one, other in zip(*(features.blocks([a], "pruned") for a in (live, FULL)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (features.blocks([live])[0] != features.blocks([FULL])[0]).any()
    assert features.has_dead([live, FULL])
    assert not features.has_dead([live])


def test_equal_branches_are_run_once() -> None:
    """Two poolings of the input, each followed by a convolution, all of them added to the input."""
    labels = ("input", "pool", "pool", "conv", "conv", "output")
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5), (0, 5)]
    adjacency = np.zeros((6, 6), dtype=np.int64)
    for edge in edges:
        adjacency[edge] += 1
    graph = ArchGraph(labels, adjacency)
    assert GraphCounts(graph).merged_operations()["pool"] == 1
    assert GraphCounts(graph).additions() == 2
    # Two operations that add the same two feature maps need one addition.
    adjacency = np.zeros((5, 5), dtype=np.int64)
    for edge in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 4), (3, 4)]:
        adjacency[edge] += 1
    graph = ArchGraph(("input", "pool", "conv", "pool", "output"), adjacency)
    assert GraphCounts(graph).additions() == 2
    assert GraphCounts(graph).merged_operations()["pool"] == 2
