"""How well a predictor does, for `hwnas predict train`, `adapt`, `build` and `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.cli.output import note
from hwnas.cli.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from hwnas.typing import FloatArray

_PROBABLE = 0.5


def note_left_out(predictor: Any, costs: FloatArray) -> None:
    """Say how well each cost is predicted from the others, where the predictor knows.

    Args:
        predictor: what has learned.
        costs: `(n,)` costs that it has learned from.
    """
    import numpy as np

    from hwnas.ranking.metrics import spearman

    found = getattr(predictor, "left_out", None)
    if found is None:
        return
    known = np.isfinite(found)
    errors = np.abs(found[known] / costs[known] - 1)
    rank = spearman(found[known], costs[known]) if known.sum() > 2 else np.nan
    told = f"Spearman {rank:.2f}, " if np.isfinite(rank) else ""
    note(
        f"leaving one out: {told}median error {100 * np.median(errors):.0f} %, "
        f"{100 * np.mean(errors <= 0.1):.0f} % within 10 %"
    )
    note_chance(found, costs)
    note_changed_speed(found, costs)


def note_chance(predicted: FloatArray, costs: FloatArray) -> None:
    """Say where costs that were not learned from are ranked no better than by chance.

    Args:
        predicted: `(n,)` predictions without the cost itself; NaN where there is none.
        costs: `(n,)` measured costs; NaN where there is none.
    """
    import numpy as np

    from hwnas.ranking.metrics import spearman

    known = np.isfinite(predicted) & np.isfinite(costs)
    rank = spearman(predicted[known], costs[known]) if known.sum() > 2 else np.nan
    if rank <= 0:
        note(
            f"It ranks what it has not learned from no better than chance (Spearman {rank:.2f}): "
            f"do not search with it. Measure more architectures that differ more, on a quiet "
            f"device, and check that each cost stands beside its own architecture."
        )


def note_changed_speed(predicted: FloatArray, costs: FloatArray) -> None:
    """Say where costs of rows one after another are off alike, as when a device got hot meanwhile.

    Args:
        predicted: `(n,)` predictions, in the order of the rows; NaN where there is none.
        costs: `(n,)` measured costs; NaN where there is none.
    """
    import numpy as np

    from hwnas.tables.row_order import serial_correlation, speed_changed

    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.log(costs / predicted)
    if speed_changed(errors):
        note(
            f"errors of rows one after another agree (Spearman {serial_correlation(errors):.2f}): "
            f"the device changed its speed meanwhile, or the rows are sorted. Measure in random "
            f"order, beside a reference."
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
                f"left aside ({100 * probability:.0f} %): measure it again."
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


def compared(predictor: Any, column: str, file: Path, table: Any) -> dict[str, Any]:
    """Give how well a predictor predicts the measurements of a table."""
    import numpy as np

    from hwnas.errors import InvalidValueError
    from hwnas.pareto.same_device import check_same_device
    from hwnas.ranking.metrics import spearman

    costs = table.of(predictor.metric, predictor.unit)
    if table.key is not None:
        for line in check_same_device(predictor.device, table.key, str(file)):
            note(line)
    known = np.isfinite(costs)
    if not known.any():
        raise InvalidValueError(f"`measurements` must hold a cost, but {table.path} has none.")
    archs, costs = [a for a, k in zip(table.archs, known, strict=True) if k], costs[known]
    if seen := learned_rows(predictor, archs):
        note(
            f"{seen} of {len(archs)} measurements are of architectures that the predictor learned "
            f"from: leave them out to see how well it predicts others."
        )
    progress.stage(f"predicting {len(archs):,} architectures")
    predicted = predictor.predict(archs)
    note_changed_speed(predicted, costs)
    return {
        **({"column": column} if column else {}),
        "n": len(costs),
        "learned_from": seen,
        "spearman": spearman(predicted, costs) if len(costs) > 2 else None,
        "within_10_percent": float(np.mean(np.abs(predicted / costs - 1) <= 0.1)),
        "coverage_90": coverage(predictor, archs, costs),
        "mean_absolute_error": float(np.mean(np.abs(predicted - costs))),
        "unit": predictor.unit,
        "device": str(predictor.device),
    }
