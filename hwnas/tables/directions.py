"""What the name of a column says of which of its values are better."""

from __future__ import annotations

import re

_LARGER = re.compile(
    r"(accuracy|accuracies|m?iou|dice|auc|auroc|auprc|f1|r2|psnr|ssim|bleu|rouge|"
    r"throughput|fps|ips|qps)\d*"
)
_PERHAPS = re.compile(r"(acc|correct|top|m?ap|recall|score)\d*")
"""Of which larger values are better unless a unit of costs stands beside them."""
_SMALLER = re.compile(
    r"loss|err(or)?s?|drop|gap|regret|std|time|delay|duration|latency|energy|power|memory"
)
_UNIT = re.compile(r"[kmg]?b|bytes|[mun]?s|[mu]?[jw]")
_RATE = re.compile(r"(_per_|/)(s|sec|seconds?|j|joules?|w|watts?)(_|$)")


def larger_is_better(name: str) -> bool:
    """Tell names of which larger values are better, by the usual words; all others are costs.

    Example:
        >>> list(map(larger_is_better, ("val_top1", "test.mIoU", "images_per_second", "img/s")))
        [True, True, True, True]
        >>> list(map(larger_is_better, ("latency_ms", "top-1 error", "map_bytes", "my_cost")))
        [False, False, False, False]
    """
    name = re.sub(r"[^\w/]+", "_", name.lower())
    words = re.split(r"[_/]+", name)
    if any(map(_SMALLER.fullmatch, words)):
        return False
    if _RATE.search(name) or any(map(_LARGER.fullmatch, words)):
        return True
    return any(map(_PERHAPS.fullmatch, words)) and not any(map(_UNIT.fullmatch, words))
