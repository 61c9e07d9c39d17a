"""What a trial reports to NNI: one number, or a dict of metrics with the key `default`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, SupportsFloat

from hwnas.errors import InvalidValueError
from hwnas.pareto.pareto_set import Status
from hwnas.typing import Direction

DEFAULT = "default"
"""The one key that NNI insists on; its own algorithms and its web page see nothing else."""
INFEASIBLE = "infeasible"
"""A metric above 0 under this name: a constraint is violated."""


def check_directions(objectives: Mapping[str, Direction]) -> dict[str, Direction]:
    """Give the objectives; `InvalidValueError` if there are none or a direction is misspelt."""
    directions = objectives.values() if isinstance(objectives, Mapping) else []
    if not directions or any(d not in ("minimize", "maximize") for d in directions):
        raise InvalidValueError(
            f"`objectives` must give the metrics' directions, minimize or maximize, but got "
            f"{objectives!r}."
        )
    return dict(objectives)


def with_default(
    metrics: Mapping[str, SupportsFloat], default: str | None = None
) -> dict[str, float]:
    """Leave out what is no finite number, which JSON does not know, and add the key of NNI.

    Args:
        metrics: numbers by name; scalars of numpy and torch are numbers.
        default: the metric that NNI shows; the first one if None. A metric `default` stays.

    Raises:
        InvalidValueError: a value is no number, there is no finite one, or none of that name.
    """
    numbers = {name: _float(name, value) for name, value in metrics.items()}
    finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
    if not finite:
        raise InvalidValueError(f"`metrics` must have a finite number, but got {numbers}.")
    name = next(iter(finite)) if default is None else default
    if name not in finite:
        raise InvalidValueError(f"`default` must be one of {list(finite)}, but got {name!r}.")
    return {DEFAULT: finite.get(DEFAULT, finite[name]), **finite}


def _float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"`metrics` must be numbers, but `{name}` is {value!r}.") from error


def has_default(metrics: Any) -> bool:
    """Tell whether a trial reported the number that NNI insists on."""
    reported = metrics.get(DEFAULT) if isinstance(metrics, Mapping) else metrics
    return isinstance(reported, (int, float))


def complaint(metrics: Any, objectives: Mapping[str, Direction]) -> str | None:
    """Say in one line why a trial that reported something counts as failed; None if it does not."""
    if metrics is None or status_of(metrics, objectives) != "failed":
        return None
    reported = metrics if isinstance(metrics, Mapping) else {DEFAULT: metrics}
    lacking = [n for n in objectives if math.isnan(_number(reported.get(n)))]
    close = difflib.get_close_matches(lacking[0], map(str, reported), n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close and lacking[0] not in reported else ""
    return (
        f"A trial must report a finite number for each of `objectives` ({', '.join(objectives)}), "
        f"but {', '.join(lacking)} is missing or none in {metrics}: it counts as failed.{hint}"
    )


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
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan
