"""Energy learned beside latency, and alone: is less of it to be measured?

HW-NAS-Bench's devices with both (Edge GPU, Eyeriss, FPGA), each predicted from HELP's devices but
those that HELP took from HW-NAS-Bench. Random cells are measured, a part of them for energy too.
Means over support sets of Spearman's correlation and of the share within 10 % over 1,500 random
cells, of energy alone and beside the predictor of latency, and the probability that energy follows
it. Needs HWNAS_DATA::

    python -m benchmarks.predictors.joint_costs --repeats 6
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.predictors.transfer import some_of
from hwnas.data.device_pool import device_pool
from hwnas.data.hw_nas_bench import read_table
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.transfer import TransferPredictor

DEVICES = ("edgegpu", "eyeriss", "fpga")
OF_HW_NAS_BENCH = {"fpga", "eyeriss", "pixel3", "raspi4"}
MEASURED = ((10, 10), (10, 5), (20, 10), (20, 5))
"""Cells measured for latency, and how many of them for energy."""


def judge(model: TransferPredictor[Any], archs: list[Any], cost: FloatArray) -> list[float]:
    """Give Spearman's correlation and the share within 10 %."""
    predicted = model.predict(archs)
    within = float((np.abs(predicted / cost - 1) <= 0.1).mean())
    return [float(spearmanr(predicted, cost).statistic), within]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--archs", type=int, default=1500)
    arguments = parser.parse_args()
    pool = some_of(device_pool("nasbench201"), arguments.archs)
    pool = pool.select([name for name in pool.names if name not in OF_HW_NAS_BENCH])
    archs, table = list(pool.archs), read_table("cifar10")
    predictor = TransferPredictor[Any](pool.space).fit(
        archs, pool.costs, [key.dead_operations for key in pool.devices]
    )
    print("| device | latency, energy | alone | within 10 % | beside it | within 10 % | follows |")
    print("| --- " * 7 + "|")
    for device in DEVICES:
        latency, energy = (table.values(f"{device}_{m}", archs) for m in ("latency", "energy"))
        key = DeviceKey(device, dead_operations="executed")
        for n, fewer in MEASURED:
            lines = []
            for repeat in range(arguments.repeats):
                rows = np.random.default_rng([repeat, n]).choice(len(archs), n, replace=False)
                own = [archs[i] for i in rows]
                beside = predictor.adapt(own, latency[rows], key)
                given = np.where(np.arange(n) < fewer, energy[rows], np.nan)
                alone = predictor.adapt(own, given, key)
                joint = predictor.adapt(own, given, key, beside)
                lines.append(
                    [*judge(alone, archs, energy), *judge(joint, archs, energy), joint.follows]
                )
            numbers = " | ".join(f"{value:.3f}" for value in np.mean(lines, axis=0))
            print(f"| {device} | {n}, {fewer} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
