from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas_predictors.encodings import one_hot
from hwnas_predictors.features import ArchFeatures, longest_path

FULL = parse_cell(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
)


def test_counts_of_choices_and_of_the_graph(space: NasBench201) -> None:
    features = ArchFeatures(space)
    counts, graph, every = features.blocks([FULL])
    # avg_pool_3x3, none, nor_conv_1x1, nor_conv_3x3, skip_connect, the dead ones included.
    assert counts[0].tolist() == [1, 1, 1, 2, 1]
    left = dict(zip([*features.operations, "path"], graph[0].tolist(), strict=True))
    # Nothing leaves node 2, so only the first edge and the two into the output are left.
    assert left["nor_conv_3x3"] == 2
    assert left["nor_conv_1x1"] == left["avg_pool_3x3"] == 0
    assert left["path"] == longest_path(space.to_graph(FULL)) == 3
    choices, g = 30, len(features.operations) + 1
    assert every.shape == (1, choices + g + 15 * 25 + g * (g + 1) // 2)


def test_pairs_are_products_of_choices_of_two_edges(space: NasBench201) -> None:
    every = ArchFeatures(space).blocks([FULL])[-1][0]
    g = len(ArchFeatures(space).operations) + 1
    pairs = every[30 + g : 30 + g + 15 * 25]
    assert pairs.sum() == 15
    assert set(np.unique(pairs)) == {0.0, 1.0}


def test_a_cell_without_a_path_has_length_0(space: NasBench201) -> None:
    cell = parse_cell("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert longest_path(space.to_graph(cell)) == 0


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
