"""Architectures as vectors: one flag a choice, and columns of scores and counts.

Every encoding describes the architectures that it is given. Models of tables that were measured
cell by cell take them as they are; models of networks take `space.representative` of each first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwnas.costs.counters import METRICS, CounterCost, Metric
from hwnas.errors import DataNotFoundError, InvalidValueError, unknown_name
from hwnas.tasks.task import Task
from hwnas.typing import Arch, FloatArray, SearchSpace

_CHECKED = 50
"""Networks that must agree with sums of counts."""


def one_hot_names(space: SearchSpace[Arch]) -> tuple[str, ...]:
    """Name the columns of `one_hot`, e.g. ``edge_0_1=none``."""
    parameters = space.parameters.items()
    return tuple(f"{name}={choice}" for name, choices in parameters for choice in choices)


def one_hot(space: SearchSpace[Arch], archs: Sequence[Arch]) -> FloatArray:
    """Give one flag for each choice of each parameter.

    Args:
        space: any search space.
        archs: `(n,)` architectures.

    Returns:
        `(n, f)` zeros and ones in the order of `one_hot_names`. A parameter that an architecture
        does not have, such as the kernel of a layer beyond the depth, has no flag, and neither has
        one of a rare combination that the space does not list.
    """
    column = {
        pair: i
        for i, pair in enumerate(
            (name, choice) for name, choices in space.parameters.items() for choice in choices
        )
    }
    flags = np.zeros((len(archs), len(column)))
    for row, arch in enumerate(archs):
        chosen = space.encode(arch).items()
        flags[row, [column[pair] for pair in chosen if pair in column]] = 1.0
    return flags


def counter_columns(
    space: SearchSpace[Arch],
    archs: Sequence[Arch],
    task: Task,
    metrics: Sequence[Metric] = ("params", "macs"),
) -> FloatArray:
    """Count parameters, MACs and the like of the networks.

    Networks are built to be counted, which takes tens of milliseconds for a class of equal
    architectures, once a process.

    Args:
        space: search space.
        archs: `(n,)` architectures.
        task: what the networks are built for.
        metrics: what is counted: ``params``, ``macs``, ``flops``, ``peak_memory`` or ``layers``.

    Returns:
        `(n, m)` natural logarithms of the counts, which differ by orders of magnitude.

    Raises:
        UnknownNameError: no such metric.
    """
    columns = []
    for metric in metrics:
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        cost = CounterCost(space, metric, task)
        columns.append(np.log(cost.predict(archs)))
    return np.array(columns).T.reshape(len(archs), len(metrics))


def additive_counts(
    space: SearchSpace[Arch], task: Task, metrics: Sequence[Metric]
) -> FloatArray | None:
    """Find what each choice adds to counts, where the choices of a network add up.

    As many random networks as there are choices are counted, and further ones must agree with the
    sums to nine digits.

    Args:
        space: search space.
        task: what the networks are built for.
        metrics: what is counted.

    Returns:
        `(f, m)` counts of the columns of `one_hot`, or None where counts do not add up, as in
        cells with dead operations or at several resolutions, or where a choice is not drawn.
    """
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(counted_networks(space))]
    flags, counts = one_hot(space, archs), np.exp(counter_columns(space, archs, task, metrics))
    weights = np.linalg.lstsq(flags[:-_CHECKED], counts[:-_CHECKED])[0].astype(np.float64)
    agree = np.allclose(flags[-_CHECKED:] @ weights, counts[-_CHECKED:], rtol=1e-9)
    return weights if agree and flags[:-_CHECKED].any(axis=0).all() else None


def counted_networks(space: SearchSpace[Arch]) -> int:
    """Give the number of networks that `additive_counts` counts."""
    return len(one_hot_names(space)) + _CHECKED


def score_columns(
    space: SearchSpace[Arch], archs: Sequence[Arch], scores: Mapping[str, Mapping[str, float]]
) -> FloatArray:
    """Look zero-cost scores up that are known already.

    Args:
        space: search space.
        archs: `(n,)` architectures.
        scores: by name of the proxy, the score by canonical key.

    Returns:
        `(n, p)` scores; NaN where a proxy has no value for a network.

    Raises:
        DataNotFoundError: an architecture has no entry; names it.
    """
    keys = [space.canonical_key(arch) for arch in archs]
    for name, known in scores.items():
        absent = next((a for a, key in zip(archs, keys, strict=True) if key not in known), None)
        if absent is not None:
            raise DataNotFoundError(
                f"`scores` must hold {name} of every architecture, but {absent} is missing: score "
                f"it with `hwnas score --out`, and fit or train again with the table."
            )
    columns = [[known[key] for key in keys] for known in scores.values()]
    return np.array(columns, dtype=np.float64).T.reshape(len(archs), len(scores))


def join_columns(*parts: FloatArray) -> FloatArray:
    """Put encodings of the same `(n,)` architectures side by side, `(n, f)` in all.

    Raises:
        InvalidValueError: the parts are of different numbers of architectures.
    """
    sizes = {len(part) for part in parts}
    if len(sizes) != 1:
        raise InvalidValueError(
            f"`parts` must describe the same architectures, but have {sorted(sizes)} rows."
        )
    return np.concatenate(parts, axis=1)
