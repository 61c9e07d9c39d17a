"""Whether HELP's devices kept their speed while they were measured, row by row.

For each device of a space: Spearman's correlation of the error of a row with that of the next one
(a linear model of the logarithms on the choices, fitted to all rows), the share of the variance
that the choices explain, and what they explain of values without the median error of the twelve
rows before and after, and by how much those medians range (1st to 99th percentile). If the order of
the rows did not matter the correlation would be 0. `steady` is what pools of FBNet are learned
from, by `to_learn_from`. Needs HWNAS_DATA::

    python -m benchmarks.predictors.row_order
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from hwnas.data.device_pool import DevicePool, device_pool
from hwnas.tables.row_order import serial_correlation
from hwnas.typing import FloatArray
from hwnas_predictors.encodings import one_hot

BESIDE = 12
STEADY = ("fbnet",)
"""Spaces whose pools are learned without the drift of devices: costs add up over the choices."""


def errors_of(flags: FloatArray, values: FloatArray) -> FloatArray:
    """Give the errors of a linear model of values on the choices."""
    every = np.column_stack([np.ones(len(flags)), flags])
    weights = np.linalg.lstsq(every, values, rcond=None)[0]
    return np.asarray(values - every @ weights, dtype=np.float64)


def drift_of(errors: FloatArray) -> FloatArray:
    """Give the median error of the rows beside each, without its own."""
    steps = np.array([s for s in range(-BESIDE, BESIDE + 1) if s])
    rows = np.clip(np.arange(len(errors))[:, None] + steps, 0, len(errors) - 1)
    medians = np.median(errors[rows], axis=1)
    return np.asarray(medians - np.median(medians), dtype=np.float64)


def steady(pool: DevicePool[Any]) -> DevicePool[Any]:
    """Give the pool as if its devices had kept their speed: costs over the drift of their rows."""
    flags = one_hot(pool.space, pool.archs)
    drifts = [drift_of(errors_of(flags, np.log(costs))) for costs in pool.costs]
    return replace(pool, costs=pool.costs / np.exp(drifts))


def to_learn_from(pool: DevicePool[Any]) -> DevicePool[Any]:
    """Give the pool that is learned from: without drift in the spaces of `STEADY`."""
    return steady(pool) if pool.space.name in STEADY else pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", nargs="+", default=["nasbench201", "fbnet"])
    parser.add_argument("--least", type=float, default=0.0, help="Correlation to be shown.")
    arguments = parser.parse_args()
    print("| space | device | correlation | explained | without drift | drift, 1 to 99 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for space in arguments.spaces:
        pool = device_pool(space)
        flags = one_hot(pool.space, pool.archs)
        for name in pool.names:
            values = np.log(pool.cost_of(name))
            errors = errors_of(flags, values)
            drift = drift_of(errors)
            steady = values - drift
            if not serial_correlation(errors) >= arguments.least:
                continue
            shares = [
                1 - e.var() / v.var()
                for e, v in ((errors, values), (errors_of(flags, steady), steady))
            ]
            low, high = 100 * np.expm1(np.quantile(drift, [0.01, 0.99]))
            print(
                f"| {space} | {name} | {serial_correlation(errors):.2f} | {shares[0]:.2f} | "
                f"{shares[1]:.2f} | {low:+.0f} to {high:+.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
