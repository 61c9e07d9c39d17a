"""Which operations a score prefers, against those of the most accurate architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.ranking.metrics import top_count, top_weights
from hwnas.spaces.options import text_of
from hwnas.typing import Arch, FloatArray, SearchSpace


def operation_counts(
    space: SearchSpace[Arch], archs: Sequence[Arch]
) -> tuple[tuple[str, ...], FloatArray]:
    """Count how often each choice of the space's parameters occurs in an architecture.

    Returns:
        The (o,) different choices, and (n, o) counts.

    Example:
        >>> from hwnas.spaces.nasbench201 import Cell, NasBench201
        >>> cell = Cell(("none", "none", "none", "none", "none", "nor_conv_3x3"))
        >>> names, counts = operation_counts(NasBench201(), [cell])
        >>> dict(zip(names, counts[0].tolist()))["none"]
        5.0
    """
    texts = (text_of(c) for choices in space.parameters.values() for c in choices)
    names = tuple(dict.fromkeys(texts))
    found = (Counter(map(text_of, space.encode(arch).values())) for arch in archs)
    rows = [[float(counter[name]) for name in names] for counter in found]
    return names, np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def operation_frequencies(
    scores: npt.ArrayLike, counts: npt.ArrayLike, fraction: float = 0.1
) -> FloatArray:
    """Give the share of each operation in the top architectures.

    Args:
        scores: (n,) scores, larger is better; NaN ranks worst. Ties at the border count in part.
        counts: (n, o) operations of each architecture, see `operation_counts`.
        fraction: share of the population that is the top.

    Returns:
        (o,) shares with the sum 1.

    Raises:
        InvalidValueError: there is not one row a score, or there are no operations.

    Example:
        The better of two architectures has three convolutions and one pool.

        >>> operation_frequencies([2.0, 1.0], [[3, 1], [0, 4]], fraction=0.5).tolist()
        [0.75, 0.25]
    """
    table, array = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or array.shape != table.shape[:1] or not table.any():
        raise InvalidValueError(
            f"`counts` must have a row for each of the {array.size} scores and not be all zero, "
            f"but got shape {table.shape}."
        )
    total = top_weights(array, top_count(len(array), fraction)) @ table
    return np.asarray(total / total.sum(), dtype=np.float64)


def operation_bias(
    scores: npt.ArrayLike,
    accuracies: npt.ArrayLike,
    counts: npt.ArrayLike,
    fraction: float = 0.1,
) -> float:
    """Sum up how far the operations of the top by score differ from those of the top by accuracy.

    ``sum_o |f_o(score) - f_o(accuracy)|`` with the relative frequencies f of the operations in the
    top 10 % (Huang et al., NASGraph, Sec. 4.5, Table 5). The paper ranks all 15,625 cells of
    NAS-Bench-201 by their *test* accuracy; here it is the accuracy that is given.

    Args:
        scores: (n,) scores, larger is better; NaN ranks worst.
        accuracies: (n,) accuracies.
        counts: (n, o) operations of each architecture, see `operation_counts`.
        fraction: share of the population that is the top.

    Returns:
        A number in [0, 2]: 0 for equal preferences, 2 for tops without a common operation.

    Example:
        >>> operation_bias([2.0, 1.0], [90.0, 93.0], [[3, 1], [0, 4]], fraction=0.5)
        1.5
    """
    preferred = operation_frequencies(scores, counts, fraction)  # (o,)
    return float(np.abs(preferred - operation_frequencies(accuracies, counts, fraction)).sum())
