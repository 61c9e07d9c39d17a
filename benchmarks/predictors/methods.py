"""Ways to predict a new device from few measurements: the transfer model and its baselines.

A method takes the numbers of the measured architectures and their costs, and gives the costs of all
architectures, with 90 % intervals of some of them if it has any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge, RidgeCV

from hwnas.costs.counters import CounterCost, Metric
from hwnas.data.device_pool import DevicePool
from hwnas.data.help import help_dataset
from hwnas.tables.shipped import shipped_scores
from hwnas.tasks.catalogue import get_task
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.brp_nas import GcnPredictor
from hwnas_predictors.encodings import additive_counts, one_hot
from hwnas_predictors.features import ArchFeatures
from hwnas_predictors.help import HelpPredictor
from hwnas_predictors.transfer import TransferPredictor

Rows = list[int]
Method = Callable[[Rows, FloatArray, DeviceKey], tuple[FloatArray, FloatArray | None]]
INTERVALS = 1000
"""Architectures whose 90 % intervals are checked."""
COMPONENTS = 6
# Compared with 1 and leave-one-out choices on the test devices: the best of both baselines.
_PENALTY = 0.1
# Costs of this space are products with the resolution, so their logarithms add up.
_POWERS = {"mobilenetv3": 0.0}
_POWER = 0.75
# Better on the meta-training and validation devices: see `choose_transfer`.
_EXTRA = {"fbnet": ("macs", "params", "layers")}


def extra_of(space: str) -> tuple[str, ...]:
    """Give the extra columns of the transfer model that ships for a space."""
    return _EXTRA.get(space, ())


def power_of(space: str) -> float:
    """Give the exponent of the transfer model's transform for a space."""
    return _POWERS.get(space, _POWER)


def interval_rows(n: int) -> npt.NDArray[np.intp]:
    """Draw the numbers of the architectures whose intervals are checked, always the same."""
    rows: npt.NDArray[np.intp] = np.random.default_rng(0).permutation(n)[:INTERVALS]
    return rows


def make_methods(
    pool: DevicePool[Any], train: DevicePool[Any], predictor: TransferPredictor[Any]
) -> Mapping[str, Method]:
    """Give the methods by name.

    Args:
        pool: architectures, and the space.
        train: devices that may be learned from.
        predictor: transfer model that was fitted to them.
    """
    archs = list(pool.archs)

    def alone(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, FloatArray]:
        settings = {name: getattr(predictor, name) for name in ("power", "extra", "dataset")}
        model = TransferPredictor[Any](pool.space, **settings)
        model.fit([archs[i] for i in rows], costs)
        some = [archs[i] for i in interval_rows(len(archs))]
        return model.predict(archs), model.predict_interval(some, 0.9)

    features = ArchFeatures(pool.space)
    by_operation = features.blocks(archs)[0]
    _, *left = features.blocks(archs, features.views[-1])[:-1]
    transfer = _transfer(predictor, archs)
    return {
        "chosen": _transfer(predictor, archs, told=True),
        "random": transfer,
        "told": _transfer(predictor, archs, told=True),
        "references": transfer,
        "counts": _count_ridge(by_operation),
        "live-counts": _count_ridge(
            left[0][:, : len(features.operations)] if left else by_operation
        ),
        "alone": alone,
        "pca-ridge": _ridge(components(train.costs)),
        "ridge": _ridge(one_hot(pool.space, archs)),
        "flops": _lazy_line(pool, "flops"),
        "params": _lazy_line(pool, "params"),
        "help": _meta_learned(pool, train),
        "brp-nas": _graph_network(pool),
    }


def components(costs: FloatArray) -> FloatArray:
    """Give the `(n, k)` principal components of `(d, n)` log costs, each with variance 1."""
    logs = np.log(costs).T
    # A missing value is the device's mean.
    logs = np.where(np.isnan(logs), np.nanmean(logs, axis=0), logs)
    left, _, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    first: FloatArray = left[:, :COMPONENTS] * np.sqrt(len(logs))
    return first


def counts(pool: DevicePool[Any], metric: Metric) -> FloatArray:
    """Count the `(n,)` parameters or FLOPs: shipped, summed over choices, or one by one."""
    space, archs = pool.space, list(pool.archs)
    task = get_task(help_dataset(space.name))
    if space.name == "nasbench201":
        shipped = shipped_scores(space.name, task.name)
        assert shipped is not None
        rows = [shipped.table.rows[space.canonical_key(arch)] for arch in archs]
        return shipped.table.columns[metric][rows]
    weights = additive_counts(space, task, [metric])
    if weights is not None:
        every: FloatArray = one_hot(space, archs) @ weights[:, 0]
        return every
    return CounterCost(space, metric, task).predict(archs)


def _transfer(predictor: TransferPredictor[Any], archs: list[Any], told: bool = False) -> Method:
    """Adapt and predict, with 90 % intervals of some; `told` what is done with dead operations."""
    some = [archs[i] for i in interval_rows(len(archs))]

    def method(rows: Rows, costs: FloatArray, key: DeviceKey) -> tuple[FloatArray, FloatArray]:
        dead = key.dead_operations if told else None
        known = replace(key, dead_operations=dead)
        model = predictor.adapt([archs[i] for i in rows], costs, known)
        return model.predict(archs), model.predict_interval(some, 0.9)

    return method


def _ridge(features: FloatArray) -> Method:
    """Ridge regression of the log cost."""

    def method(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, None]:
        model = Ridge(_PENALTY).fit(features[rows], np.log(costs))
        return np.exp(model.predict(features)), None

    return method


def _count_ridge(features: FloatArray) -> Method:
    """Ridge regression of the log cost, its penalty chosen by leaving one out."""

    def method(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, None]:
        model = RidgeCV(np.logspace(-3, 3, 13)).fit(features[rows], np.log(costs))
        return np.exp(model.predict(features)), None

    return method


def _meta_learned(pool: DevicePool[Any], train: DevicePool[Any]) -> Method:
    """HELP with the pool's references, meta-trained at the first use."""
    archs = list(pool.archs)
    found: list[HelpPredictor[Any]] = []

    def method(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, None]:
        if not found:
            references = [archs[i] for i in pool.references]
            found.append(HelpPredictor[Any](pool.space, references=references))
            found[0].fit(archs, train.costs)
        return found[0].adapt([archs[i] for i in rows], costs).predict(archs), None

    return method


def _graph_network(pool: DevicePool[Any]) -> Method:
    """BRP-NAS's graph network, of this device alone."""
    archs = list(pool.archs)

    def method(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, None]:
        model = GcnPredictor[Any](pool.space).fit([archs[i] for i in rows], costs)
        return model.predict(archs), None

    return method


def _lazy_line(pool: DevicePool[Any], metric: Metric) -> Method:
    """Least squares line of the cost over a count, which is worked out at the first use."""
    found: list[FloatArray] = []

    def method(rows: Rows, costs: FloatArray, _: DeviceKey) -> tuple[FloatArray, None]:
        if not found:
            found.append(counts(pool, metric) / 1e6)
        slope, intercept = np.polyfit(found[0][rows], costs, 1)
        return slope * found[0] + intercept, None

    return method
