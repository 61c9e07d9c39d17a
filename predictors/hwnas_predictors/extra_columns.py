"""Counts and zero-cost scores beside an architecture's choices, scaled for a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Self

import numpy as np
import numpy.typing as npt

from hwnas.costs.counters import METRICS, CounterCost, Metric
from hwnas.errors import DataNotFoundError, InvalidValueError, unknown_name
from hwnas.proxies import proxy_names
from hwnas.tables.shipped import shipped_scores
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import Arch, FloatArray, SearchSpace
from hwnas_predictors.encodings import (
    additive_counts,
    counted_networks,
    counter_columns,
    join_columns,
    one_hot,
    score_columns,
)

Scores = Mapping[str, Mapping[str, float]]
"""By name of a proxy, the score by canonical key."""

_QUANTILES = 33
_PREFIX = "extra_"


@dataclass(frozen=True, eq=False)
class ExtraColumns(Generic[Arch]):
    """Columns of about variance 1, from counts and from scores that are known already.

    A count becomes the transform of its ratio to the geometric mean that costs get in the model,
    since costs grow with counts. A score becomes its place among the scores that were learned from,
    from -sqrt(3) to sqrt(3), since scores have long tails and scales of their own; a missing one
    is 0, and equal ones have their mean place.

    Attributes:
        space: search space.
        task: what the networks that are counted are built for.
        power: exponent of the transform of counts; 0 takes logarithms.
        counts: what is counted.
        weights: `(f, m)` counts of each choice where they add up, else `(0, m)`: networks are built
            and counted then.
        scores: the scores.
        own: proxies whose scores are the user's; the others' ship with hwnas.
        centres: mean logarithm of each count.
        spreads: standard deviation of each transformed count.
        quantiles: `(p, q)` evenly spaced quantiles of each proxy's scores.
    """

    space: SearchSpace[Arch]
    task: Task
    power: float
    counts: tuple[Metric, ...]
    weights: FloatArray
    scores: Scores
    own: tuple[str, ...]
    centres: FloatArray
    spreads: FloatArray
    quantiles: FloatArray

    @classmethod
    def fit(
        cls,
        space: SearchSpace[Arch],
        archs: Sequence[Arch],
        names: Sequence[str],
        dataset: str,
        scores: Scores | None = None,
        power: float = 0.0,
    ) -> Self:
        """Scale columns to architectures.

        Where there are many, counts that add up over the choices are summed from here on.

        Args:
            space: search space.
            archs: `(n,)` architectures to scale to.
            names: proxies in `scores`, else counts, else proxies whose scores ship with hwnas.
            dataset: name of the data set that the networks are for.
            scores: the user's scores.
            power: exponent of the transform of counts.

        Raises:
            InvalidValueError: a proxy has no score of these architectures.
            UnknownNameError: there is no such count, proxy or data set.
            DataNotFoundError: scores are not shipped, or an architecture has none.
        """
        task, given = get_task(dataset), scores or {}
        columns = tuple(n for n in METRICS if n in names and n not in given)
        known = {
            name: given[name] if name in given else _shipped(space, name, task)
            for name in names
            if name not in columns
        }
        found = None
        if columns and len(archs) > counted_networks(space):
            found = additive_counts(space, task, columns)
        weights = np.zeros((0, len(columns))) if found is None else found
        logs = _log_counts(space, archs, task, columns, weights)
        raw = score_columns(space, archs, known)
        empty = [n for n, c in zip(known, raw.T, strict=True) if not np.isfinite(c).any()]
        if empty:
            raise InvalidValueError(
                f"`extra` must name proxies with scores, but {empty[0]} has none of the "
                f"architectures that are learned from: leave it out."
            )
        own = tuple(name for name in known if name in given)
        centres = logs.mean(axis=0)
        spreads = _transform(logs - centres, power).std(axis=0)
        spreads[spreads == 0] = 1.0
        quantiles = np.array([_quantiles(column) for column in raw.T])
        quantiles = quantiles.reshape(len(known), _QUANTILES)
        return cls(space, task, power, columns, weights, known, own, centres, spreads, quantiles)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*self.counts, *self.scores)

    @cached_property
    def builds_networks(self) -> bool:
        """Whether an architecture's network is built to be counted."""
        if len(self.weights):
            return False
        return not all(CounterCost(self.space, n, self.task).is_shipped for n in self.counts)

    def unscored(self, archs: Sequence[Arch]) -> list[Arch]:
        """Give the architectures that a proxy has no entry for."""
        if not self.scores:
            return []
        keys = [self.space.canonical_key(arch) for arch in archs]
        known = set.intersection(*map(set, self.scores.values()))
        return [arch for arch, key in zip(archs, keys, strict=True) if key not in known]

    def __call__(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n, c)` columns: counts, then scores.

        Raises:
            DataNotFoundError: an architecture has no score; names it.
        """
        logs = _log_counts(self.space, archs, self.task, self.counts, self.weights)
        raw = score_columns(self.space, archs, self.scores)
        columns = [_places(c, q) for c, q in zip(raw.T, self.quantiles, strict=True)]
        ranked = np.array(columns).T.reshape(raw.shape)
        return join_columns(_transform(logs - self.centres, self.power) / self.spreads, ranked)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Give the arrays of a predictor file, the scores among them.

        Networks that one of the proxies has not scored are left out.
        """
        keys = sorted(set.intersection(*map(set, self.scores.values()))) if self.scores else []
        table = [[known[key] for key in keys] for known in self.scores.values()]
        arrays = {
            "counts": np.array(self.counts, dtype=np.str_),
            "proxies": np.array(list(self.scores), dtype=np.str_),
            "own": np.array(self.own, dtype=np.str_),
            "weights": self.weights,
            "keys": np.array(keys, dtype=np.str_),
            "scores": np.array(table),
            "centres": self.centres,
            "spreads": self.spreads,
            "quantiles": self.quantiles,
        }
        return {_PREFIX + name: array for name, array in arrays.items()}

    @classmethod
    def from_arrays(
        cls,
        space: SearchSpace[Arch],
        dataset: str,
        power: float,
        arrays: Mapping[str, npt.NDArray[Any]],
    ) -> Self:
        """Read what `to_arrays` gave for the same space, data set and power."""
        parts = {n.removeprefix(_PREFIX): v for n, v in arrays.items() if n.startswith(_PREFIX)}
        keys = parts["keys"].tolist()
        scores = {
            str(name): dict(zip(keys, column.tolist(), strict=True))
            for name, column in zip(parts["proxies"], parts["scores"], strict=True)
        }
        counts = tuple(parts["counts"].tolist())
        numbers = [parts[name] for name in ("centres", "spreads", "quantiles")]
        own, weights = tuple(parts["own"].tolist()), parts["weights"]
        return cls(space, get_task(dataset), power, counts, weights, scores, own, *numbers)


def check_names(names: Any) -> None:
    """Refuse what is no list of different names.

    Raises:
        InvalidValueError: it is not.
    """
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not (listed and all(isinstance(n, str) for n in names) and len(set(names)) == len(names)):
        raise InvalidValueError(
            f"`extra` must list different names, e.g. ['macs'], but got {names!r}."
        )


def _log_counts(
    space: SearchSpace[Arch],
    archs: Sequence[Arch],
    task: Task,
    counts: Sequence[Metric],
    weights: FloatArray,
) -> FloatArray:
    """Give `(n, m)` logarithms of the counts, summed over choices or counted in networks."""
    if not len(weights):
        return counter_columns(space, archs, task, counts)
    logs: FloatArray = np.log(one_hot(space, archs) @ weights)
    return logs


def _transform(logs: FloatArray, power: float) -> FloatArray:
    """Transform positive ratios, given by their logarithms."""
    return logs if power == 0 else np.expm1(power * logs) / power


def _quantiles(column: FloatArray) -> FloatArray:
    known = column[np.isfinite(column)]
    if not len(known):
        return np.zeros(_QUANTILES)
    found: FloatArray = np.quantile(known, np.linspace(0, 1, _QUANTILES))
    return found


def _places(column: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Give the places of scores among quantiles; 0 for none, and where all were equal."""
    if quantiles[0] == quantiles[-1]:
        return np.zeros(len(column))
    places = np.linspace(-np.sqrt(3), np.sqrt(3), _QUANTILES)
    # From below a tie has its last place, from above its first.
    below = np.interp(column, quantiles, places)
    above = -np.interp(-column, -quantiles[::-1], places)
    return np.nan_to_num((below + above) / 2)


def _shipped(space: SearchSpace[Any], name: str, task: Task) -> Mapping[str, float]:
    """Look up the scores of a proxy that ship with the package."""
    shipped = shipped_scores(space.name, task.name)
    if shipped is None or name not in shipped.table.columns:
        if re.split("[.:]", name)[0] not in proxy_names():
            raise unknown_name("extra", name, dict.fromkeys((*METRICS, *proxy_names())))
    elif shipped.about[name].is_of(space):
        return shipped.by_key(name)
    raise DataNotFoundError(
        f"hwnas has no scores of {name} for {space!r} and {task.name}: score the networks with "
        f"`hwnas score --out` and give the table as `scores`."
    )
