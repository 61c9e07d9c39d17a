"""What a trial reports to NNI: one number, or a dict of metrics with the key `default`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwnas.errors import InvalidValueError
from hwnas.pareto.pareto_set import Status
from hwnas.typing import Direction

DEFAULT = "default"
"""The one key that NNI insists on; its own algorithms and its web page see nothing else."""
INFEASIBLE = "infeasible"
"""A metric above 0 under this name: a constraint is violated."""


def check_directions(objectives: Mapping[str, Direction]) -> dict[str, Direction]:
    """Give the objectives; `InvalidValueError` if there are none or a direction is misspelt."""
    wrong = [d for d in objectives.values() if d not in ("minimize", "maximize")]
    if not objectives or wrong:
        raise InvalidValueError(
            f"`objectives` must give the metrics' directions, minimize or maximize, but got "
            f"{dict(objectives)}."
        )
    return dict(objectives)


def with_default(metrics: Mapping[str, float], default: str | None = None) -> dict[str, float]:
    """Add the key that NNI insists on, unless it is there.

    Args:
        metrics: numbers by name, at least one.
        default: the metric that NNI shows; the first one if None.

    Raises:
        InvalidValueError: no metrics, or none of that name.
    """
    name = next(iter(metrics), "") if default is None else default
    if name not in metrics:
        raise InvalidValueError(f"`default` must be one of {list(metrics)}, but got {name!r}.")
    return {DEFAULT: float(metrics.get(DEFAULT, metrics[name])), **metrics}


def values_of(metrics: Any, objectives: Mapping[str, Direction]) -> list[float]:
    """Give `(m,)` values in the users' directions; NaN where none or no finite one was reported.

    Args:
        metrics: what a trial reported: a number, which is the metric `default`, or a dict; None
            if nothing.
        objectives: direction of each objective.
    """
    reported = metrics if isinstance(metrics, Mapping) else {DEFAULT: metrics}
    return [_number(reported.get(name)) for name in objectives]


def losses_of(metrics: Any, objectives: Mapping[str, Direction]) -> list[float]:
    """Give `(m,)` losses; all are NaN where the trial is infeasible."""
    if status_of(metrics, objectives) == "infeasible":
        return [math.nan] * len(objectives)
    values = zip(values_of(metrics, objectives), objectives.values(), strict=True)
    return [value if direction == "minimize" else -value for value, direction in values]


def status_of(metrics: Any, objectives: Mapping[str, Direction]) -> Status:
    """Tell what became of a trial: infeasible before failed."""
    if isinstance(metrics, Mapping) and _number(metrics.get(INFEASIBLE)) > 0:
        return "infeasible"
    missing = any(math.isnan(value) for value in values_of(metrics, objectives))
    return "failed" if missing else "complete"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan
