"""How well a new device is predicted from few measurements, by HELP's split of devices.

Usage: python benchmarks/predictors/transfer.py [--space nasbench201] [--repeats 20]
           [--samples 5 10 20 50 100]

Learns the meta-training devices of a space, adapts to each test device with a chosen and with a
random support set, and prints Spearman's correlation over all architectures, the share of
predictions within 10 %, the coverage of the 90 % intervals (over 1,000 architectures) and the CPU
seconds of adapting and predicting everything. `alone` is the same model without a pool.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hwnas.data.device_pool import DevicePool, device_pool
from hwnas.typing import FloatArray
from hwnas_predictors.transfer import TransferPredictor

INTERVALS = 1000


def judge(model: TransferPredictor[Any], archs: list[Any], cost: FloatArray) -> list[float]:
    """Give Spearman, share within 10 %, and coverage."""
    found = model.predict(archs)
    some = np.random.default_rng(0).choice(len(archs), INTERVALS, replace=False)
    low, high = model.predict_interval([archs[i] for i in some]).T
    covered = (low <= cost[some]) & (cost[some] <= high)
    within = np.abs(found / cost - 1) <= 0.1
    return [float(spearmanr(found, cost).statistic), float(within.mean()), float(covered.mean())]


def supports(
    method: str, pool: TransferPredictor[Any], archs: list[Any], n: int, repeats: int
) -> list[list[int]]:
    """Give `repeats` support sets as numbers of architectures."""
    if method == "chosen":
        number = {arch: i for i, arch in enumerate(archs)}
        return [[number[a] for a in pool.choose_support(n, r, archs)] for r in range(repeats)]
    draws = (np.random.default_rng([r, n]) for r in range(repeats))
    return [rng.choice(len(archs), n, replace=False).tolist() for rng in draws]


def study(pool: DevicePool[Any], samples: list[int], repeats: int) -> None:
    assert pool.split is not None
    archs, train = list(pool.archs), pool.select(pool.split.train)
    predictor = TransferPredictor[Any](pool.space).fit(archs, train.costs)
    print(f"{'support':8} {'n':>4} {'device':16} Spearman  <=10 %  coverage  CPU s")
    for n in samples:
        for method in ("chosen", "random", "alone"):
            sets = supports(method, predictor, archs, n, repeats)
            rows = []
            for device in pool.split.test:
                cost = pool.cost_of(device)
                results = []
                start = time.process_time()
                for chosen in sets:
                    measured = [archs[i] for i in chosen]
                    if method == "alone":
                        model = TransferPredictor[Any](pool.space).fit(measured, cost[chosen])
                    else:
                        model = predictor.adapt(measured, cost[chosen])
                    results.append(judge(model, archs, cost))
                seconds = (time.process_time() - start) / repeats
                rows.append([*np.mean(results, axis=0), seconds])
                report(method, n, device, rows[-1])
            report(method, n, "mean", np.mean(rows, axis=0).tolist())


def report(method: str, n: int, device: str, row: list[float]) -> None:
    text = f"{row[0]:8.4f}  {row[1]:6.3f}  {row[2]:8.3f}  {row[3]:5.2f}"
    print(f"{method:8} {n:4} {device:16} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--samples", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    arguments = parser.parse_args()
    study(device_pool(arguments.space), arguments.samples, arguments.repeats)


if __name__ == "__main__":
    main()
