"""Settings of the transfer model, compared without a look at the devices that it is judged on.

HELP's nine meta-training devices of NAS-Bench-201, each learned from the others without the same
hardware at other batch sizes, and its four validation devices, learned from all nine. For every
setting: Spearman's correlation, the share within 10 %, the coverage of 90 % intervals and their
interval score (Gneiting and Raftery, 2007, eq. 43; smaller is better) over the true cost, over
1,000 architectures; means over devices and support sets. Needs HWNAS_DATA::

    python -m benchmarks.predictors.choose_transfer --power 0 0.5 0.75 1
    python -m benchmarks.predictors.choose_transfer --widened 1 2 3
    python -m benchmarks.predictors.choose_transfer --space fbnet --extra macs
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.predictors.methods import Rows, interval_rows, power_of
from benchmarks.predictors.transfer import Split, judge, splits, supports
from hwnas.data.device_pool import DevicePool, device_pool
from hwnas.data.help import help_dataset
from hwnas.typing import FloatArray
from hwnas_predictors import device_prior
from hwnas_predictors.transfer import TransferPredictor

LEVEL = 0.9
COLUMNS = ("Spearman", "within 10 %", "coverage", "interval score")


def seen_splits(pool: DevicePool[Any]) -> Iterator[Split]:
    """Give what to learn from and what to judge on, without the unseen devices of the paper."""
    assert pool.split is not None
    yield from splits(pool.select(pool.split.train), leave_one_out=True, devices=[])
    yield list(pool.split.train), list(pool.split.validation)


def score(model: TransferPredictor[Any], archs: list[Any], cost: FloatArray) -> list[float]:
    """Give what `COLUMNS` says of the architectures whose intervals are checked."""
    some = interval_rows(len(archs))
    checked, true = [archs[i] for i in some], cost[some]
    interval = model.predict_interval(checked, LEVEL)
    low, high = interval.T
    missed = np.maximum(low - true, 0) + np.maximum(true - high, 0)
    scores = (high - low + 2 / (1 - LEVEL) * missed) / true
    predicted = model.predict(checked)
    inside = (low <= true) & (true <= high)
    known = np.isfinite(true)
    rank, within, _ = judge(predicted, None, true)
    return [rank, within, float(inside[known].mean()), float(scores[known].mean())]


def compare(pool: DevicePool[Any], arguments: argparse.Namespace) -> None:
    """Print a line for each setting, kind of support and number of samples."""
    archs = list(pool.archs)
    common: Rows = np.flatnonzero(np.isfinite(pool.costs).all(axis=0)).tolist()
    for power, k, widened in itertools.product(
        arguments.power or [power_of(pool.space.name)], arguments.components, arguments.widened
    ):
        device_prior.WIDENED = widened
        lines: dict[tuple[str, int], list[list[float]]] = {}
        for train, tests in seen_splits(pool):
            predictor = TransferPredictor[Any](
                pool.space,
                power=power,
                components=k,
                extra=arguments.extra,
                dataset=help_dataset(pool.space.name),
            ).fit(archs, pool.select(train).costs)
            for kind, n in itertools.product(("chosen", "random"), arguments.samples):
                for rows in supports(
                    kind, predictor, pool, common, n, arguments.repeats, "executed"
                ):
                    for device in tests:
                        cost = pool.cost_of(device)
                        model = predictor.adapt([archs[i] for i in rows], cost[rows])
                        lines.setdefault((kind, n), []).append(score(model, archs, cost))
        for (kind, n), scores in lines.items():
            numbers = " | ".join(f"{value:.3f}" for value in np.mean(scores, axis=0))
            print(f"| {power:g} | {k} | {widened:g} | {kind} | {n} | {numbers} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--extra", nargs="*", default=[], help="counts and proxies")
    parser.add_argument("--power", type=float, nargs="+", help="[that of the shipped pool]")
    parser.add_argument("--components", type=int, nargs="+", default=[6])
    parser.add_argument("--widened", type=float, nargs="+", default=[device_prior.WIDENED])
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    print(f"| power | components | widened | support | samples | {' | '.join(COLUMNS)} |")
    print("| --- " * (5 + len(COLUMNS)) + "|")
    compare(device_pool(arguments.space), arguments)


if __name__ == "__main__":
    main()
