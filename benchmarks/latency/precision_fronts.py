"""How many members of a front that is searched in float32 are on the front of an int8 deployment.

The same live cells of NAS-Bench-201, drawn at random, are scored by a training-free proxy and
measured in float32 and in int8, interleaved network by network. Printed are both fronts of score
and latency, how many members they share, how many of the float32 front are dominated in int8 and
by how much slower they are than the int8 front's member of at least the same score; Spearman's
correlation of the latencies; and how well the int8 outputs agree with PyTorch's.

    python -m benchmarks.latency.precision_fronts [--networks 200] [--out FILE]
    python -m benchmarks.latency.precision_fronts --costs litert litert:precision=int8

The first of `--costs` is what the search measured, each other one what is deployed.

What is measured is kept in --out, and an interrupted run goes on from there; --only-print prints
what is there.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import moocore
import numpy as np
import numpy.typing as npt

import hwnas
from benchmarks.latency.runtimes import PACKAGES, Store, WithStatistics, measured
from hwnas.costs.measured import RuntimeCost
from hwnas.costs.source import make_cost
from hwnas.measure.host import host_fingerprint, package_versions
from hwnas.ranking.metrics import spearman
from hwnas.runtimes.agreement import LEAST_CORRELATION
from hwnas.spaces.nasbench201 import Cell
from hwnas.study.configuration import reference_sample
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

COSTS = ("onnxruntime", "onnxruntime:precision=int8")


def scores(cells: list[Cell], proxy: str, store: Store) -> FloatArray:
    """Score each cell once; `(n,)`, larger is better."""
    space = WithStatistics()
    for cell in cells:
        key = f"{cell} {proxy}"
        if key not in store.rows:
            found = hwnas.score(space.build(cell), (3, 32, 32), proxy)
            store.put(key, {"score": float(found[proxy])})
    return np.array([store.rows[f"{cell} {proxy}"]["score"] for cell in cells])


def column(store: Store, cells: list[Cell], cost: str, name: str) -> FloatArray:
    """Give one fact of each measurement, `(n,)`; NaN where it failed."""
    found = [store.rows.get(f"{cell} {cost}", {}).get(name) for cell in cells]
    return np.array([np.nan if v is None else v for v in found], dtype=np.float64)


def front(score: FloatArray, latency: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell who is on the front of high scores and low latencies, `(n,)` of booleans."""
    losses = np.stack([-score, latency], 1)
    return np.asarray(moocore.is_nondominated(losses, keep_weakly=True), dtype=np.bool_)


def report(score: FloatArray, latencies: list[FloatArray], correlation: FloatArray) -> None:
    """Print what the module's docstring says."""
    first, lower = latencies
    fp32, int8 = front(score, first), front(score, lower)
    both = fp32 & int8
    gone = np.flatnonzero(fp32 & ~int8)
    rivals = [lower[int8 & (score >= score[i])].min() for i in gone]
    print(
        f"{len(score)} networks; front of {fp32.sum()} in float32, of {int8.sum()} in int8, "
        f"{both.sum()} on both: {both.sum() / fp32.sum():.0%} of the float32 front survive"
    )
    if len(gone):
        slower = lower[gone] / rivals
        print(
            f"the {len(gone)} others take {np.median(slower):.2f} times (median; largest "
            f"{slower.max():.2f}) as long in int8 as a network of at least their score"
        )
    print(
        f"Spearman of the latencies {spearman(first, lower):.3f}; int8 takes "
        f"{np.median(lower / first):.2f} times as long (median), {(lower < first).sum()} are faster"
    )
    print(
        f"correlation of int8 outputs with PyTorch's: median {np.nanmedian(correlation):.4f}, "
        f"least {np.nanmin(correlation):.4f}; {(correlation < LEAST_CORRELATION).sum()} below "
        f"{LEAST_CORRELATION}, {np.isnan(correlation).sum()} not known"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--costs", nargs="+", default=COSTS, help="the first in float32")
    parser.add_argument("--proxy", default="naswot")
    parser.add_argument("--max-seconds", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file that keeps what is measured")
    parser.add_argument("--only-print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    space, task = WithStatistics(), get_task("cifar10")
    cells = reference_sample(space, arguments.networks, arguments.seed)
    costs = {}
    for text in arguments.costs:
        joined = f"{text}{',' if '=' in text else ':'}max_seconds={arguments.max_seconds}"
        made = make_cost(joined, space, task)
        assert isinstance(made, RuntimeCost)
        costs[text] = made
    kept = arguments.out is not None and arguments.out.is_file()
    store = Store(arguments.out, json.loads(arguments.out.read_text()) if kept else {})
    print(f"machine: {host_fingerprint()}; versions {package_versions(PACKAGES)}")
    if not arguments.only_print:
        loads = [os.getloadavg()[0] for _ in measured(costs, cells, store, arguments.seed)]
        print(f"load {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores meanwhile")
    first, *others = (column(store, cells, cost, "latency_ms") for cost in arguments.costs)
    for cost, latency in zip(arguments.costs[1:], others, strict=True):
        known = np.isfinite(first) & np.isfinite(latency)
        print(f"{arguments.costs[0]} and {cost}:")
        print(f"{(~known).sum()} of {len(cells)} networks were not or could not be measured")
        chosen = [cells[i] for i in np.flatnonzero(known)]
        score = scores(chosen, arguments.proxy, store)
        correlation = column(store, chosen, cost, "correlation")
        report(score, [first[known], latency[known]], correlation)


if __name__ == "__main__":
    main()
