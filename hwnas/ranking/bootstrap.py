"""How much a rank metric depends on the architectures that happen to be in the population."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError


def bootstrap_interval(
    metric: Callable[[npt.NDArray[np.intp]], float],
    n: int,
    resamples: int,
    *,
    seed: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Give a percentile bootstrap interval over architectures.

    Efron, Bootstrap Methods: Another Look at the Jackknife, 1979. Equal seeds draw equal
    resamples, so intervals of several scores belong to the same populations.

    Args:
        metric: computes the number from (n,) indices of the architectures that were drawn, e.g.
            ``lambda drawn: kendall(scores[drawn], accuracies[drawn])``.
        n: architectures in the population.
        resamples: how often n of n are drawn with replacement.
        seed: seed of the draws.
        level: probability that the interval is meant to cover.

    Returns:
        Lower and upper end; NaN where the metric was NaN in any resample.

    Raises:
        InvalidValueError: a number is out of range.

    Example:
        >>> bootstrap_interval(lambda drawn: float(len(drawn)), n=5, resamples=10, seed=0)
        (5.0, 5.0)
    """
    if n < 1 or resamples < 1 or not 0 < level < 1:
        raise InvalidValueError(
            f"`n` and `resamples` must be at least 1 and `level` in (0, 1), but got {n}, "
            f"{resamples} and {level}."
        )
    rng = np.random.default_rng(seed)
    values = [metric(rng.integers(n, size=n)) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
