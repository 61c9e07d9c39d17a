from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwnas.strategies.selection import best_first, crowding_distances, pareto_ranks
from hwnas.typing import FloatArray


def peeled(losses: FloatArray) -> list[int]:
    """Take front after front away."""
    layers, left, layer = [-1] * len(losses), set(range(len(losses))), 0
    while left:
        front = {
            i
            for i in left
            if not any(
                (losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left
            )
        }
        for i in front:
            layers[i] = layer
        left -= front
        layer += 1
    return layers


@given(arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.integers(0, 5)))
def test_layers_are_fronts_taken_away_one_after_another(losses: FloatArray) -> None:
    assert pareto_ranks(losses).tolist() == peeled(losses)


def test_crowding_adds_the_gaps_between_neighbours() -> None:
    losses = np.array([[0.0, 10.0], [1.0, 6.0], [4.0, 2.0], [5.0, 0.0], [9.0, 9.0]])
    distances = crowding_distances(losses, np.array([0, 0, 0, 0, 1]))
    assert distances[1] == pytest.approx(4 / 5 + 8 / 10)
    assert distances[2] == pytest.approx(4 / 5 + 6 / 10)
    assert np.isinf(distances[[0, 3, 4]]).all()


def test_best_first_orders_by_layer_then_loneliness() -> None:
    losses = np.array([[9.0, 9.0], [1.0, 6.0], [4.0, 2.0], [0.0, 10.0], [5.0, 0.0]])
    assert best_first(losses).tolist() == [3, 4, 1, 2, 0]
