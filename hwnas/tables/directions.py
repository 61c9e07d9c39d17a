"""What the name of a column says of which of its values are better."""

from __future__ import annotations

import re

_LARGER = re.compile(
    r"acc|accurac(y|ies)|correct|top\d*|m?iou|dice|m?ap|auc|auroc|auprc|f1|r2|recall|psnr|ssim|"
    r"bleu|rouge|score|throughput|fps|ips|qps"
)
_SMALLER = re.compile(
    r"loss|err(or)?|drop|gap|regret|time|latency|energy|power|memory|[kmg]?b|bytes|[mun]?s|[mu]?[jw]"
)
_RATE = re.compile(r"_per_(s|sec|second|j|joule|w|watt)$")


def larger_is_better(name: str) -> bool:
    """Tell names of which larger values are better, by the usual words; all others are costs.

    Example:
        >>> list(map(larger_is_better, ("val_top1", "test.mIoU", "images_per_second")))
        [True, True, True]
        >>> list(map(larger_is_better, ("latency_ms", "top-1 error", "map_bytes", "my_cost")))
        [False, False, False, False]
    """
    words = re.split(r"[\W_]+", name := name.lower())
    if _RATE.search(name):
        return True
    return any(map(_LARGER.fullmatch, words)) and not any(map(_SMALLER.fullmatch, words))
