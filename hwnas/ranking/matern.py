"""The Matérn kernel of smoothness 5/2 and its slope.

κ(r) = (1 + √5 r + 5 r²/3) exp(-√5 r) (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, Eq. 4.17).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hwnas.typing import FloatArray


class Term(NamedTuple):
    """A part of a covariance and what its logarithmic length changes in it, each `(n, m)`."""

    value: FloatArray
    slope: FloatArray


def matern_term(squared: FloatArray, amplitude: float, length: float) -> Term:
    """Give a κ(r/l) and its slope along log l.

    Args:
        squared: `(n, m)` squared distances r².
        amplitude: logarithm of a.
        length: logarithm of l.

    Example:
        >>> matern_term(np.zeros((1, 1)), math.log(3.0), 0.0).value.round(6).tolist()
        [[3.0]]
    """
    r = np.sqrt(5.0 * squared) / math.exp(length)
    decay = math.exp(amplitude) * np.exp(-r)
    return Term((1.0 + r + r * r / 3.0) * decay, (1.0 + r) * r * r / 3.0 * decay)


def squares(a: FloatArray, b: FloatArray) -> FloatArray:
    """Give the `(n, m)` squared distances of `(n, f)` and `(m, f)` points."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(found, 0.0))
