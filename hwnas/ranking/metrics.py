"""How well a score ranks architectures whose accuracies are known.

Scores are ``(n,)`` numbers of which larger ones promise more accuracy: negate one that is to be
minimised. A missing score (NaN) stays in the population and ranks worst, tied with the other
missing ones and with -inf. Accuracies are ``(n,)`` percentages without gaps. A metric without a
value, such as a correlation with a constant, is NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.ranking.ranks import average_ranks, kendall_tau_b, spearman_rho
from hwnas.typing import FloatArray

DEFAULT_P = 1000
"""Architectures that `ndcg` looks at, as in the VKDNW paper."""


def spearman(scores: npt.ArrayLike, accuracies: npt.ArrayLike) -> float:
    """Correlate the ranks; ties share their average rank. In [-1, 1], larger is better.

    Example:
        One exchange of neighbours among four: 1 - 6 * 2 / (4 * 15).

        >>> round(spearman([1, 3, 2, 4], [90.0, 91.0, 92.0, 93.0]), 6)
        0.8
    """
    ranks, truth = _checked(scores, accuracies)
    if _constant(ranks) or _constant(truth):
        return float("nan")
    return spearman_rho(ranks, truth)


def kendall(scores: npt.ArrayLike, accuracies: npt.ArrayLike) -> float:
    """Compute Kendall's tau-b, which accounts for ties. In [-1, 1], larger is better.

    Example:
        Five of the six pairs agree and one does not: (5 - 1) / 6.

        >>> round(kendall([1, 3, 2, 4], [90.0, 91.0, 92.0, 93.0]), 6)
        0.666667
    """
    ranks, truth = _checked(scores, accuracies)
    if _constant(ranks) or _constant(truth):
        return float("nan")
    return kendall_tau_b(ranks, truth)


def ndcg(scores: npt.ArrayLike, accuracies: npt.ArrayLike, p: int = DEFAULT_P) -> float:
    """Compute the normalised discounted cumulative gain of the `p` best by score.

    ``sum_{i <= p} (2^a_i - 1) / log2(i + 1)`` over the accuracies a_i in percent in the order of
    the score, divided by the same sum in the order of the accuracy (Týbl and Neumann, VKDNW, CVPR
    2025, Eq. 14). An accuracy that is one point higher counts twice as much. Ties are taken in the
    given order, so shuffle a population that is sorted.

    Args:
        scores: (n,) scores.
        accuracies: (n,) accuracies in percent, 0 to 100.
        p: architectures that count; all of them where there are fewer.

    Returns:
        A number in [0, 1]; 1 for the best order.

    Raises:
        InvalidValueError: `p` is below 1, or an accuracy is no percentage.

    Example:
        Gains 2^1 - 1 and 2^2 - 1 in the wrong order: (1 + 3 / log2(3)) / (3 + 1 / log2(3)).

        >>> round(ndcg([2, 1], [1.0, 2.0]), 6)
        0.796708
    """
    ranks, truth = _checked(scores, accuracies)
    if p < 1:
        raise InvalidValueError(f"`p` must be at least 1, but got {p}.")
    if not are_percentages(truth):
        raise InvalidValueError(
            f"`accuracies` must be in percent, 0 to 100, but got {truth.min():g} to "
            f"{truth.max():g}."
        )
    gains = np.exp2(truth) - 1  # (n,): 2^a_i - 1
    best = np.argsort(-ranks, kind="stable")[:p]  # (p,)
    ideal = np.sort(gains)[::-1][:p]  # (p,)
    discounts = 1 / np.log2(np.arange(len(best)) + 2)  # (p,): 1 / log2(i + 1) for i = 1, …, p
    norm = float(ideal @ discounts)
    return float(gains[best] @ discounts) / norm if norm > 0 else float("nan")


def are_percentages(accuracies: npt.ArrayLike) -> bool:
    """Tell whether all of `(n,)` accuracies are in 0 to 100, as `ndcg` needs them.

    Example:
        >>> are_percentages([93.1, 50.0]), are_percentages([-0.7, -0.6])  # the latter: losses
        (True, False)
    """
    truth = np.asarray(accuracies, dtype=np.float64)
    return not truth.size or bool(truth.min() >= 0 and truth.max() <= 100)


def top_by_accuracy(accuracies: npt.ArrayLike, fraction: float) -> npt.NDArray[np.bool_]:
    """Mark the most accurate architectures.

    Args:
        accuracies: (n,) accuracies.
        fraction: share of the population; the number is rounded, and at least 1. Equal accuracies
            at the border are all in.

    Returns:
        (n,) flags.

    Example:
        >>> top_by_accuracy([90.0, 94.0, 93.0, 94.0], 0.25).tolist()
        [False, True, False, True]
    """
    truth = np.asarray(accuracies, dtype=np.float64)
    if not len(truth):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(truth >= np.sort(truth)[-top_count(len(truth), fraction)])


def top_overlap(scores: npt.ArrayLike, accuracies: npt.ArrayLike, fraction: float = 0.1) -> float:
    """Give the share of the top by score that is in the top by accuracy too.

    "Top-10 %/top-10 %" of Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021.
    It is the expectation where ties at the border of the score are broken at random, so that it
    does not depend on the order given. In [0, 1], larger is better, `fraction` by chance.

    Example:
        One of the two best by score is among the two most accurate.

        >>> top_overlap([4, 3, 2, 1], [93.0, 90.0, 92.0, 91.0], fraction=0.5)
        0.5
    """
    ranks, truth = _checked(scores, accuracies)
    if not len(ranks):
        return float("nan")
    weights = top_weights(ranks, top_count(len(ranks), fraction))
    return float(weights[top_by_accuracy(truth, fraction)].sum() / weights.sum())


def top_hits(
    scores: npt.ArrayLike, accuracies: npt.ArrayLike, k: int = 64, fraction: float = 0.05
) -> float:
    """Count how many of the `k` best by score are in the top by accuracy.

    "Top-64/top-5 %" of Abdelfattah et al., ICLR 2021; the expectation where ties at the border are
    broken at random. In [0, k], larger is better; all of the population where it is smaller than k.

    Example:
        >>> top_hits([4, 3, 2, 1], [93.0, 90.0, 92.0, 91.0], k=3, fraction=0.5)
        2.0
    """
    ranks, truth = _checked(scores, accuracies)
    return float(top_weights(ranks, k)[top_by_accuracy(truth, fraction)].sum())


def top_weights(scores: npt.ArrayLike, k: int) -> FloatArray:
    """Give the probability of being among the `k` best where ties are broken at random.

    Args:
        scores: (n,) scores; NaN ranks worst.
        k: number of architectures, cut to n.

    Returns:
        (n,) numbers in [0, 1] with the sum min(k, n).

    Example:
        Two tie for the second place.

        >>> top_weights([3.0, 2.0, 2.0, 1.0], k=2).tolist()
        [1.0, 0.5, 0.5, 0.0]
    """
    ranks = worst_if_missing(scores)
    k = min(k, len(ranks))
    if k < 1:
        return np.zeros(len(ranks))
    border = np.sort(ranks)[-k]
    better, tied = ranks > border, ranks == border
    return np.asarray(better + tied * ((k - better.sum()) / tied.sum()), dtype=np.float64)


def seed_stability(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Correlate the ranks that two seeds of one score give to the same architectures.

    Args:
        first: (n,) scores of one seed; NaN ranks worst.
        second: (n,) scores of the other seed; NaN ranks worst.

    Returns:
        Spearman's coefficient, in [-1, 1]; 1 where the seed does not matter.

    Example:
        >>> round(seed_stability([1, 2, 3, 4], [10, 30, 20, 40]), 6)
        0.8
    """
    return spearman(first, worst_if_missing(second))


def rank_metrics(
    scores: npt.ArrayLike, accuracies: npt.ArrayLike, p: int = DEFAULT_P
) -> dict[str, float]:
    """Compute every metric of this module.

    Args:
        scores: (n,) scores, larger is better; NaN ranks worst.
        accuracies: (n,) accuracies in percent, or other numbers of which larger ones are better,
            e.g. negative losses, which have no `ndcg`.
        p: architectures that `ndcg` looks at.

    Returns:
        Numbers by name, NaN where there is none. ``spearman_top10`` and its like are correlations
        among the 10 % of the architectures with the highest accuracy, wherever the score has put
        them; ``best_accuracy`` is the accuracy of the architecture with the highest score, the
        mean where several share it.

    Example:
        >>> rank_metrics([1, 2, 3], [90.0, 91.0, 92.0])["kendall"]
        1.0
    """
    ranks, truth = _checked(scores, accuracies)
    order = np.argsort(ranks, kind="stable")  # each metric sorts again, which then takes no time
    ranks, truth = ranks[order], truth[order]
    metrics = {
        "spearman": spearman(ranks, truth),
        "kendall": kendall(ranks, truth),
        "ndcg": ndcg(ranks, truth, p) if are_percentages(truth) else float("nan"),
    }
    for percent in (10, 5):
        top = top_by_accuracy(truth, percent / 100)
        metrics[f"spearman_top{percent}"] = spearman(ranks[top], truth[top])
        metrics[f"kendall_top{percent}"] = kendall(ranks[top], truth[top])
    metrics["top10_top10"] = top_overlap(ranks, truth)
    metrics["top64_top5"] = top_hits(ranks, truth)
    metrics["best_accuracy"] = float(top_weights(ranks, 1) @ truth)
    return metrics


def worst_if_missing(scores: npt.ArrayLike) -> FloatArray:
    """Turn (n,) scores into average ranks, 1 for the worst; NaN ties with -inf.

    Example:
        >>> worst_if_missing([0.5, float("nan"), 0.7]).tolist()
        [2.0, 1.0, 3.0]
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise InvalidValueError(f"`scores` must have shape (n,), but got {array.shape}.")
    return average_ranks(np.where(np.isnan(array), -np.inf, array))


def top_count(n: int, fraction: float) -> int:
    """Round `fraction` of n, to at least 1.

    Example:
        >>> top_count(200, 0.05), top_count(3, 0.05)
        (10, 1)
    """
    if not 0 < fraction <= 1:
        raise InvalidValueError(f"`fraction` must be in (0, 1], but got {fraction}.")
    return max(1, round(fraction * n))


def _checked(scores: npt.ArrayLike, accuracies: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    ranks, truth = worst_if_missing(scores), np.asarray(accuracies, dtype=np.float64)
    if truth.shape != ranks.shape:
        raise InvalidValueError(
            f"`accuracies` must have the scores' shape {ranks.shape}, but got {truth.shape}."
        )
    if not np.isfinite(truth).all():
        raise InvalidValueError(
            f"`accuracies` must be finite, but {np.sum(~np.isfinite(truth))} of {len(truth)} are "
            "not: leave those architectures out."
        )
    return ranks, truth


def _constant(values: FloatArray) -> bool:
    return len(values) < 2 or bool(values.min() == values.max())
