"""Average ranks and correlations of ranks, in numpy alone: `scipy.stats` takes a second to import.

Arrays are one-dimensional; numbers are finite or infinite unless NaN is spoken of.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hwnas.typing import FloatArray

_BLOCK = 32


def average_ranks(values: npt.ArrayLike) -> FloatArray:
    """Give (n,) ranks from 1; equal values share the mean of theirs. NaN has no rank: it stays.

    Example:
        >>> average_ranks([3.0, 1.0, 3.0, float("nan")]).tolist()
        [2.5, 1.0, 2.5, nan]
    """
    array = np.asarray(values, dtype=np.float64)
    ranks = np.full(len(array), np.nan)
    there = np.flatnonzero(~np.isnan(array))
    order = there[np.argsort(array[there], kind="stable")]
    starts = np.flatnonzero(_begins(array[order]))  # of each run of equal values
    ends = np.append(starts[1:], len(order))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def spearman_rho(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Correlate the ranks of (n,) and (n,) numbers, neither of them constant.

    Example:
        1 - 6 * 2 / (4 * 15), for an exchange of neighbours.

        >>> round(spearman_rho([1, 3, 2, 4], [1, 2, 3, 4]), 6)
        0.8
    """
    return float(np.corrcoef(average_ranks(x), average_ranks(y))[0, 1])


def kendall_tau_b(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Compute Kendall's tau-b of (n,) and (n,) numbers, neither of them constant.

    ``(C - D) / sqrt((N - T_x) (N - T_y))`` with N pairs, of which C agree, D disagree and T_x, T_y
    are ties of x, y (Kendall, The treatment of ties in ranking problems, Biometrika 1945). D is
    counted in n log² n steps (Knight, A computer method for calculating Kendall's tau, JASA 1966).

    Example:
        Five of six pairs agree, one does not.

        >>> round(kendall_tau_b([1, 2, 3, 4], [1, 3, 2, 4]), 6)
        0.666667
    """
    a, b = _dense(x), _dense(y)
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    pairs = math.comb(len(a), 2)
    tied_x, tied_y = _tied_pairs(np.bincount(a)), _tied_pairs(np.bincount(b))
    both = np.flatnonzero((np.diff(a, prepend=-1) != 0) | (np.diff(b, prepend=-1) != 0))
    tied_both = _tied_pairs(np.diff(np.append(both, len(a))))
    # N = C + D + T_x + T_y - T_xy
    surplus = pairs - tied_x - tied_y + tied_both - 2 * _inversions(b)
    tau = surplus / math.sqrt(pairs - tied_x) / math.sqrt(pairs - tied_y)
    return min(1.0, max(-1.0, tau))


def _begins(ordered: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which of (n,) ordered numbers differ from the one before them."""
    different = np.ones(len(ordered), dtype=np.bool_)
    different[1:] = ordered[1:] != ordered[:-1]
    return different


def _dense(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Number the different values from 0 in their order."""
    return np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)[1].astype(np.int64)


def _tied_pairs(counts: npt.NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(numbers: npt.NDArray[np.int64]) -> int:
    """Count the pairs of (n,) numbers >= 0 of which the later one is smaller."""
    top = int(numbers.max(initial=0)) + 1
    width = _BLOCK
    blocks = max(1, 1 << (max(len(numbers) - 1, 0) // width).bit_length())
    padded = np.full(blocks * width, top, dtype=np.int64)
    padded[: len(numbers)] = numbers
    rows = padded.reshape(blocks, width)
    earlier = np.triu(np.ones((width, width), dtype=np.bool_), k=1)
    found = int(((rows[:, :, None] > rows[:, None, :]) & earlier).sum())
    rows = np.sort(rows, axis=1)
    while len(rows) > 1:  # neighbours are merged: how many on the left are larger?
        # Numbers of one pair of rows lie apart from those of the others.
        offsets = (top + 1) * np.arange(len(rows) // 2)[:, None]
        left, right = ((rows[i::2] + offsets).ravel() for i in (0, 1))
        places = np.searchsorted(left, right, side="right")
        ends = np.repeat(width * np.arange(1, len(rows) // 2 + 1), width)
        found += int((ends - places).sum())
        rows, width = np.sort(rows.reshape(-1, 2 * width), axis=1), 2 * width
    return found
