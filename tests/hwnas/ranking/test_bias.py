import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.errors import InvalidValueError
from hwnas.ranking.bias import operation_bias, operation_counts, operation_frequencies
from hwnas.spaces.nasbench201 import OPERATIONS, NasBench201, parse_cell

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def test_counts_of_a_cell() -> None:
    names, counts = operation_counts(NasBench201(), [parse_cell(CELL)])
    assert names == OPERATIONS
    # none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3
    assert counts.tolist() == [[2, 2, 1, 1, 0]]
    assert operation_counts(NasBench201(), [])[1].shape == (0, 5)


def test_frequencies_by_hand() -> None:
    counts = [[3, 1], [1, 3], [0, 4], [4, 0]]
    # Half of four: the second and the third, 1 + 0 against 3 + 4.
    np.testing.assert_allclose(operation_frequencies([0, 5, 6, 1], counts, 0.5), [1 / 8, 7 / 8])
    # The first is in, the missing ones share the other place: 3 + 1/3 of 1 + 0 + 4.
    nan = math.nan
    np.testing.assert_allclose(
        operation_frequencies([1, nan, nan, nan], counts, 0.5), [14 / 24, 10 / 24]
    )


def test_bias_by_hand() -> None:
    counts = [[3, 1], [1, 3], [0, 4], [4, 0]]
    # The best by score is the third (0, 1), by accuracy the first (3/4, 1/4).
    assert operation_bias([1, 2, 3, 0], [9, 2, 3, 0], counts, 0.25) == pytest.approx(1.5)
    assert operation_bias([1, 2, 3, 0], [0, 0, 0, 9], counts, 0.25) == 2
    assert operation_bias([1, 2, 3, 0], [10, 20, 30, 0], counts, 0.5) == 0


def test_bias_against_counting() -> None:
    space, rng = NasBench201(), np.random.default_rng(4)
    cells = [space.sample(rng) for _ in range(60)]
    scores, truth = rng.permutation(60), rng.permutation(60)

    def shares(values: list[float]) -> dict[str, float]:
        best = sorted(range(60), key=lambda i: -values[i])[:6]
        found = Counter(o for i in best for o in cells[i].operations)
        return {name: found[name] / 36 for name in OPERATIONS}

    ours, ideal = shares(scores.tolist()), shares(truth.tolist())
    _, counts = operation_counts(space, cells)
    expected = sum(abs(ours[name] - ideal[name]) for name in OPERATIONS)
    assert operation_bias(scores, truth, counts) == pytest.approx(expected)
    assert expected > 0


@pytest.mark.parametrize("counts", [[[1, 2]], [1, 2], [[0, 0], [0, 0]]])
def test_errors(counts: npt.ArrayLike) -> None:
    with pytest.raises(InvalidValueError, match="each of the 2 scores"):
        operation_frequencies([1, 2], counts)
