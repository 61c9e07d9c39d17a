import math

import numpy as np
import pytest

from hwnas.ranking.matern import matern_term, squares


def test_the_kernel_and_its_slopes_are_those_of_the_formula() -> None:
    def kernel(amplitude: float, *lengths: float) -> float:
        apart = zip(distances, lengths, strict=True)
        x = math.sqrt(5 * sum((r / math.exp(length)) ** 2 for r, length in apart) / len(distances))
        return math.exp(amplitude) * (1 + x + x * x / 3) * math.exp(-x)

    for distances in ([0.0], [0.2], [3.0], [0.2, 1.0], [0.0, 3.0, 0.5]):
        at = [0.4, -0.3, 0.2, 0.5][: 1 + len(distances)]
        term = matern_term([np.array([[r * r]]) for r in distances], at)
        assert term.value[0, 0] == pytest.approx(kernel(*at))
        for group, slope in enumerate(term.slopes, 1):
            up, down = (
                kernel(*[p + step * (i == group) for i, p in enumerate(at)])
                for step in (1e-6, -1e-6)
            )
            assert slope[0, 0] == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_squares_are_those_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3))
    slow = [[sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    np.testing.assert_allclose(squares(a, b), slow)
    assert np.all(squares(a, a) >= 0)
