"""Whether a device changed its speed while the rows of a table were measured one after another."""

from __future__ import annotations

import math

import numpy as np

from hwnas.typing import FloatArray

LEAST = 30
"""Rows below which nothing is said."""
_DEVIATIONS = 4.0
"""Errors that know nothing of each other are as much correlated in one table of 30,000."""


def serial_correlation(errors: FloatArray) -> float:
    """Give Spearman's correlation of each row's error with the next one's.

    Args:
        errors: `(n,)` errors of predictions in the order of the rows; rows without one, NaN, are
            left out.

    Returns:
        From -1 to 1; about 0 with a deviation of 1 / sqrt(n) where the order does not matter. NaN
        for fewer than `LEAST` errors, or equal ones.
    """
    known = errors[np.isfinite(errors)]
    if len(known) < LEAST or np.ptp(known[:-1]) == 0 or np.ptp(known[1:]) == 0:
        return math.nan
    from scipy.stats import spearmanr  # takes a second to import

    return float(spearmanr(known[:-1], known[1:]).statistic)


def speed_changed(errors: FloatArray) -> bool:
    """Whether errors of neighbouring rows agree by more than chance; False if unknown."""
    known = int(np.isfinite(errors).sum())
    return serial_correlation(errors) > _DEVIATIONS / math.sqrt(max(known, 1))
