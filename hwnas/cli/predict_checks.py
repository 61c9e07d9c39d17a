"""How well a predictor does, for `hwnas predict adapt` and `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.cli.output import note

if TYPE_CHECKING:
    from hwnas.typing import FloatArray

_PROBABLE = 0.5


def note_left_out(predictor: Any, costs: FloatArray) -> None:
    """Say how well each cost is predicted from the others, where the predictor knows."""
    import numpy as np
    from scipy.stats import spearmanr

    found = getattr(predictor, "left_out", None)
    if found is None:
        return
    known = np.isfinite(found)
    errors = np.abs(found[known] / costs[known] - 1)
    rank = ""
    if known.sum() > 2:
        rank = f"Spearman {spearmanr(found[known], costs[known]).statistic:.2f}, "
    note(
        f"leaving one out: {rank}median error {100 * np.median(errors):.0f} %, "
        f"{np.mean(errors <= 0.1):.0%} within 10 %"
    )


def note_wrong(predictor: Any, archs: list[Any], costs: FloatArray) -> None:
    """Name the measurements that are probably wrong, where the predictor knows."""
    found = getattr(predictor, "wrong", None)
    if found is None:
        return
    for arch, cost, probability in zip(archs, costs, found, strict=True):
        if probability > _PROBABLE:
            note(
                f"{arch}: {cost:g} {predictor.unit} does not fit the other measurements and is "
                f"left aside ({probability:.0%}): measure it again."
            )


def learned_rows(predictor: Any, archs: list[Any]) -> int:
    """Count the architectures that a predictor learned from; 0 if it does not know."""
    count = getattr(predictor, "learned_from", None)
    return 0 if count is None else int(count(archs).sum())


def coverage(predictor: Any, archs: list[Any], costs: FloatArray) -> float | None:
    """Give the share of costs in the 90 % intervals; None if the predictor gives no intervals."""
    if not hasattr(predictor, "predict_interval"):
        return None
    low, high = predictor.predict_interval(archs, 0.9).T
    return float(((low <= costs) & (costs <= high)).mean())


def amount(costs: FloatArray) -> str:
    """Say how many costs are there."""
    import numpy as np

    known = int(np.isfinite(costs).sum())
    missing = f", {len(costs) - known} empty" if known < len(costs) else ""
    return f"{known} measurements{missing}"
