"""Inputs of a model say the same of an architecture alone and among others."""

from __future__ import annotations

import numpy as np

from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies.features import PoolInputs, Scale, describe_exactly
from hwnas.study.configuration import reference_sample
from tests.hwnas.strategies.depth_and_widths import made_space


def test_inputs_do_not_depend_on_the_batch() -> None:
    space = made_space()
    pool = reference_sample(space, 24, 0)
    assert len({len(arch.chosen) for arch in pool}) == 3
    score = np.arange(24.0)
    inputs = PoolInputs.of(space, pool, {"score": score})
    together = inputs(pool, {"score": score})
    for row, arch in enumerate(pool):
        alone = inputs([arch], {"score": score[row : row + 1]})
        for group, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[0], group[row], atol=1e-12)


def test_equal_networks_have_equal_inputs() -> None:
    space = NasBench201()
    # What enters a node that nothing leaves is not in the network.
    dead = (
        f"|nor_conv_3x3~0|+|{entering}~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
        for entering in ("none", "avg_pool_3x3")
    )
    one, other = (space.parse(text) for text in dead)
    assert one != other
    assert space.canonical_key(one) == space.canonical_key(other)
    pool = reference_sample(space, 24, 0)
    inputs = PoolInputs.of(space, pool, {})
    for group in inputs([one, other], {}):
        np.testing.assert_array_equal(group[0], group[1])


def test_a_position_that_is_not_there_is_the_mean_of_the_others() -> None:
    space = made_space()
    archs = [
        space.decode({"depth": 1, "width_0": 4}),
        space.decode({"depth": 2, "width_0": 4, "width_1": 4}),
        space.decode({"depth": 2, "width_0": 4, "width_1": 20}),
    ]
    column = list(space.options).index("width_1")
    features = describe_exactly(space, archs)
    assert features[:, column].tolist() == [2, 0, 4]
    assert not np.isnan(features).any()


def test_a_column_without_a_value_is_left_out() -> None:
    table = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert Scale.of(table)(table).tolist() == [[-1], [1]]
