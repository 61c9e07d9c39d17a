"""BRP-NAS's latency networks and HELP on the devices that their papers use.

``brp-nas`` and ``mlp`` learn 900 random cells of each BRP-NAS device and are judged on all others;
``help`` is meta-trained on HELP's nine devices and adapted to each of its six unseen ones by the
ten published reference cells. Prints Spearman's correlation over the cells that were not learned
from, the share of predictions within 10 %, and CPU seconds of training. ``noise`` says how good
predictions could be: from pairs of cells that are equal but for the order of two nodes, the rank
correlation of their costs, and the share of measurements that would be within 10 % of the truth if
both of a pair were off alike. A perfect prediction has about the square root of the former as its
rank correlation with single measurements (Spearman, 1904). Needs HWNAS_DATA::

    python -m benchmarks.predictors.networks --method brp-nas help
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.predictors.transfer import LEARNED, judge
from hwnas import registry
from hwnas.data.device_pool import DevicePool, brp_nas_pool, device_pool
from hwnas.spaces.nasbench201 import EDGES
from hwnas_predictors.help import HelpPredictor

Row = tuple[str, str, int, list[float], float]
"""Method, device, seed, what `judge` gives, CPU seconds."""


def single_device(method: str, devices: list[str], seed: int) -> Iterator[Row]:
    """Learn each device from its own cells."""
    pool = brp_nas_pool()
    for device in devices or pool.names:
        cost = pool.cost_of(device)
        order = np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(cost)))
        learned, rest = order[:LEARNED], order[LEARNED:]
        predictor = registry.load("predictors", method)(pool.space, seed=seed)
        start = time.process_time()
        predictor.fit([pool.archs[i] for i in learned], cost[learned])
        seconds = time.process_time() - start
        found = predictor.predict([pool.archs[i] for i in rest])
        yield method, device, seed, judge(found, None, cost[rest])[:2], seconds


def noise() -> Iterator[Row]:
    """Compare the costs of equal cells, on BRP-NAS's devices and on HELP's unseen ones."""
    brp_nas, helps = brp_nas_pool(), device_pool("nasbench201")
    assert helps.split is not None
    yield from _noise(brp_nas, brp_nas.names)
    yield from _noise(helps, helps.split.test)


def _noise(pool: DevicePool[Any], devices: Sequence[str]) -> Iterator[Row]:
    number = {cell.operations: i for i, cell in enumerate(pool.archs)}
    edge = {edge: i for i, edge in enumerate(EDGES)}
    # Without an edge between them the nodes 1 and 2 may change places.
    order = [edge[e] for e in ((0, 2), (0, 1), (1, 2), (0, 3), (2, 3), (1, 3))]
    pairs = [
        (i, number[tuple(operations[k] for k in order)])
        for operations, i in number.items()
        if operations[edge[1, 2]] == "none"
    ]
    first, second = np.array([pair for pair in pairs if pair[0] < pair[1]]).T
    for device in devices:
        a, b = pool.cost_of(device)[first], pool.cost_of(device)[second]
        known = np.isfinite(a) & np.isfinite(b)
        off = np.exp(np.log(a / b)[known] / np.sqrt(2))
        rank = float(spearmanr(a[known], b[known]).statistic)
        yield "noise", device, 0, [rank, float((np.abs(off - 1) <= 0.1).mean())], 0.0


def meta_learned(devices: list[str], seed: int) -> Iterator[Row]:
    """Learn to adapt from HELP's meta-training devices."""
    pool = device_pool("nasbench201")
    assert pool.split is not None
    references = [pool.archs[i] for i in pool.references]
    predictor = HelpPredictor(pool.space, references=references, seed=seed)
    start = time.process_time()
    predictor.fit(list(pool.archs), pool.select(pool.split.train).costs)
    seconds = time.process_time() - start
    rest = np.setdiff1d(np.arange(len(pool.archs)), pool.references)
    for device in devices or pool.split.test:
        cost = pool.cost_of(device)
        adapted = predictor.adapt(references, cost[list(pool.references)])
        found = adapted.predict([pool.archs[i] for i in rest])
        yield "help", device, seed, judge(found, None, cost[rest])[:2], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--method",
        nargs="+",
        choices=("brp-nas", "mlp", "help", "noise"),
        default=["brp-nas", "help"],
    )
    parser.add_argument("--device", nargs="+", default=[], help="[default: all of the method]")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    print("| method | device | seed | Spearman | within 10 % | CPU s of training |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method in arguments.method:
        for seed in range(arguments.seeds):
            if method == "noise":
                rows = noise()
            elif method == "help":
                rows = meta_learned(arguments.device, seed)
            else:
                rows = single_device(method, arguments.device, seed)
            for name, device, number, (rank, within), seconds in rows:
                print(
                    f"| {name} | {device} | {number} | {rank:.3f} | {within:.3f} | {seconds:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
