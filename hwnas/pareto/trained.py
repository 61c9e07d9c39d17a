"""Accuracies of trained members in the front, beside the scores that they were searched by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.pareto.metrics import is_non_dominated, to_losses
from hwnas.pareto.pareto_set import ParetoSet
from hwnas.pareto.provenance import plain
from hwnas.ranking.bootstrap import bootstrap_interval
from hwnas.ranking.metrics import kendall
from hwnas.typing import FloatArray

RESAMPLES = 1000
ACCURACY, STAYS = "accuracy", "on_accuracy_front"


@dataclass(frozen=True)
class Agreement:
    """How well a column ranks the trained members.

    Attributes:
        name: the column.
        kendall: Kendall's tau-b with the mean accuracies; NaN where either is constant.
        low: lower end of its 95 % bootstrap interval over the members.
        high: upper end.
        members: members with an accuracy.
    """

    name: str
    kendall: float
    low: float
    high: float
    members: int


@dataclass(frozen=True)
class Trained:
    """A front with accuracies.

    Attributes:
        front: the same members with the attributes ``accuracy`` (mean, percent), ``accuracy_std``
            (over the runs, None for one run), ``accuracy_runs`` and ``on_accuracy_front``.
        agreements: of the scores that were searched by, of the costs, and of the other columns.
    """

    front: ParetoSet
    agreements: tuple[Agreement, ...]


def with_accuracies(
    front: ParetoSet,
    accuracies: Mapping[str, Sequence[float]],
    beside: Mapping[str, npt.ArrayLike] | None = None,
    origin: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    in_percent: bool = False,
) -> Trained:
    """Take the accuracies of trained members back into a front.

    No member leaves the front, which is that of the search. A member stays on the front of accuracy
    and costs if no other one that was trained is as good in all of them and better in one. Costs
    are those of the search's settings, or what is minimised where they are not known.

    Args:
        front: the front of a search.
        accuracies: test accuracies in percent by canonical key, one a run; those of other networks
            are left out.
        beside: `(n,)` other columns by name, e.g. parameters, whose ranks are compared too; one
            with a NaN has none.
        origin: what the accuracies are, kept in the provenance under ``trained``.
        seed: of the bootstrap.
        in_percent: whether the accuracies are known to be percentages, however low they are.

    Raises:
        InvalidValueError: no member has an accuracy, one is not in 0 to 100, or all are in 0 to 1
            as parts of one are.
    """
    runs = [list(accuracies.get(member.key, ())) for member in front.members]
    _check(runs, in_percent)
    known = np.array([bool(values) for values in runs])
    means = np.array([np.mean(values) if values else np.nan for values in runs], dtype=np.float64)
    stays = _stays(front, means, known)
    columns = {**_searched(front), **{n: np.asarray(c, float) for n, c in (beside or {}).items()}}
    found = tuple(
        _agreement(name, column[known], means[known], seed)
        for name, column in columns.items()
        if not np.isnan(column).any()
    )
    members = tuple(
        replace(m, attributes={**m.attributes, **_attributes(values, bool(flag))}) if values else m
        for m, values, flag in zip(front.members, runs, stays, strict=True)
    )
    report = {
        **(origin or {}),
        "members": int(known.sum()),
        "runs": sum(map(len, runs)),
        "agreements": [asdict(agreement) for agreement in found],
    }
    provenance = {**front.provenance, "trained": plain(report)}
    return Trained(replace(front, members=members, provenance=provenance), found)


def _check(runs: Sequence[Sequence[float]], in_percent: bool) -> None:
    values = [value for row in runs for value in row]
    if not values:
        raise InvalidValueError("`accuracies` must hold those of members, but none is one's.")
    if wrong := [value for value in values if not 0 <= value <= 100]:
        raise InvalidValueError(f"`accuracies` must be in percent, 0 to 100, but got {wrong[0]:g}.")
    if not in_percent and 0 < max(values) <= 1:
        raise InvalidValueError(
            f"`accuracies` must be in percent, but the highest is {max(values):g}: multiply shares "
            f"by 100."
        )


def _attributes(values: Sequence[float], stays: bool) -> dict[str, Any]:
    """Give what a trained member has more than others."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {
        ACCURACY: float(np.mean(values)),
        f"{ACCURACY}_std": std,
        f"{ACCURACY}_runs": len(values),
        STAYS: stays,
    }


def _searched(front: ParetoSet) -> dict[str, FloatArray]:
    """Give the `(n,)` values of each objective, as they are: costs may grow with accuracy."""
    values = front.values()
    return {o.name: values[:, j] for j, o in enumerate(front.objectives)}


def _stays(
    front: ParetoSet, means: FloatArray, known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Mark the trained members that no other trained one dominates in accuracy and costs."""
    costs = _costs(front)
    table = np.column_stack([-means, to_losses(front.values(), front.directions)[:, costs]])
    flags = np.zeros(len(front), dtype=np.bool_)
    flags[known] = is_non_dominated(table[known])
    return flags


def _costs(front: ParetoSet) -> list[int]:
    """Give the places of the costs: those of the search's settings, or what is minimised."""
    settings, count = front.provenance.get("settings"), len(front.objectives)
    if isinstance(settings, Mapping):
        scores, costs = (len(settings.get(n, ())) for n in ("objectives", "costs"))
        if scores + costs == count:
            return list(range(scores, count))
    return [j for j, o in enumerate(front.objectives) if o.direction == "minimize"]


def _agreement(name: str, column: FloatArray, means: FloatArray, seed: int) -> Agreement:
    def tau(drawn: npt.NDArray[np.intp]) -> float:
        # Of a resample that is one member many times, nothing agrees with anything.
        return float(np.nan_to_num(kendall(column[drawn], means[drawn])))

    value, n = kendall(column, means), len(means)
    if np.isnan(value):
        return Agreement(name, value, value, value, n)
    low, high = bootstrap_interval(tau, n, RESAMPLES, seed=seed)
    return Agreement(name, value, low, high, n)
