import math

import numpy as np
import pytest

from hwnas.ranking.matern import matern_term, squares


def test_the_kernel_and_its_slope_are_those_of_the_formula() -> None:
    amplitude, length = 0.4, -0.3

    def kernel(r: float, log_l: float) -> float:
        x = math.sqrt(5) * r / math.exp(log_l)
        return math.exp(amplitude) * (1 + x + x * x / 3) * math.exp(-x)

    for r in (0.0, 0.2, 1.0, 3.0):
        term = matern_term(np.array([[r * r]]), amplitude, length)
        slope = (kernel(r, length + 1e-6) - kernel(r, length - 1e-6)) / 2e-6
        assert term.value[0, 0] == pytest.approx(kernel(r, length))
        assert term.slope[0, 0] == pytest.approx(slope, abs=1e-8)


def test_squares_are_those_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3))
    slow = [[sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    np.testing.assert_allclose(squares(a, b), slow)
    assert np.all(squares(a, a) >= 0)
