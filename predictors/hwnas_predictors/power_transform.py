"""The transform of Box and Cox (1964), which makes the noise of costs more even."""

from __future__ import annotations

import numpy as np

from hwnas.typing import FloatArray

_LOWEST = 1e-3


def transform(ratios: FloatArray, power: float) -> FloatArray:
    """Transform positive ratios so that 1 becomes 0 with slope 1; power 0 takes logarithms.

    Example:
        >>> transform(np.array([1.0, 3.0]), 2.0)
        array([0., 4.])
    """
    found: FloatArray = np.log(ratios) if power == 0 else (ratios**power - 1) / power
    return found


def inverse(targets: FloatArray, power: float) -> FloatArray:
    """Give ratios; a target below every ratio gives a small positive one.

    Example:
        >>> inverse(np.array([0.0, 4.0]), 2.0)
        array([1., 3.])
    """
    if power == 0:
        found: FloatArray = np.exp(targets)
        return found
    base: FloatArray = np.maximum(power * targets + 1, _LOWEST)
    return base ** (1 / power)
