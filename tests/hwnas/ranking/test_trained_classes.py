import math

import numpy as np
import pytest
from scipy.special import ndtr

from hwnas.ranking.trained_classes import NEAREST, TrainedClasses


def test_a_class_trained_once_has_the_noise_of_the_others() -> None:
    known = TrainedClasses.of({"a": [60.0, 62.0], "b": [70.0, 74.0], "c": [90.0]})
    # Squares within: 2 and 8, one degree of freedom each.
    assert known.noise.tolist() == pytest.approx([math.sqrt(5)] * 3)
    low, high = known.interval("b")
    assert (low + high) / 2 == pytest.approx(72)
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(5 * 1.5))
    low, high = known.interval("c")
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(5 * 2))


def test_the_noise_is_that_of_similar_accuracies() -> None:
    rng = np.random.default_rng(0)
    levels = np.linspace(0, 100, 3 * NEAREST)
    spread = np.where(levels < 50, 4.0, 0.5)
    drawn = {
        str(i): (level + s * rng.normal(size=3)).tolist()
        for i, (level, s) in enumerate(zip(levels, spread, strict=True))
    }
    known = TrainedClasses.of(drawn)
    assert known.noise[0] == pytest.approx(4, rel=0.15)
    assert known.noise[-1] == pytest.approx(0.5, rel=0.15)


def test_the_bar_is_what_a_share_of_the_trainings_exceeds() -> None:
    drawn = {str(i): [float(i), float(i) + 1] for i in range(100)}
    known = TrainedClasses.of(drawn)
    # 200 trainings: one class of two is the best hundredth, and the bar is its mean.
    assert known.chance_among_best("99") == pytest.approx(0.5)
    deviation = math.sqrt(0.5) / math.sqrt(2)
    assert known.chance_among_best("98") == pytest.approx(ndtr(-1 / deviation))
    assert known.chance_among_best("97", share=0.03) == pytest.approx(0.5)


def test_nothing_is_known_of_noise_where_each_network_was_trained_once() -> None:
    known = TrainedClasses.of({"a": [60.0], "b": [70.0]})
    assert np.isnan(known.noise).all()
    assert np.isnan(known.interval("a")).all()
    assert math.isnan(known.chance_among_best("b"))
