"""The Matérn kernel of smoothness 5/2 and its slopes.

κ(r) = (1 + √5 r + 5 r²/3) exp(-√5 r) (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, Eq. 4.17).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hwnas.typing import FloatArray


class Term(NamedTuple):
    """A part of a covariance and what each logarithmic length changes in it, all `(n, m)`."""

    value: FloatArray
    slopes: list[FloatArray]


def matern_term(squared: Sequence[FloatArray], settings: FloatArray | Sequence[float]) -> Term:
    """Give a κ(r) of the mean squared distance r² = mean_g r_g²/l_g², and its slopes along log l_g.

    Args:
        squared: `(n, m)` squared distances r_g² of one or more groups of inputs.
        settings: logarithms of a and of the length of each group.

    Example:
        >>> matern_term([np.zeros((1, 1))], [np.log(3.0), 0.0]).value.round(6).tolist()
        [[3.0]]
    """
    amplitude, *lengths = np.exp(settings)
    parts = [
        part * (5 / len(squared) / length**2) for part, length in zip(squared, lengths, strict=True)
    ]
    r = np.sqrt(sum(parts))
    decay = amplitude * np.exp(-r)
    each = (1.0 + r) * decay / 3.0
    return Term((1.0 + r + r * r / 3.0) * decay, [each * part for part in parts])


def squares(a: FloatArray, b: FloatArray) -> FloatArray:
    """Give the `(n, m)` squared distances of `(n, f)` and `(m, f)` points."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(found, 0.0))
