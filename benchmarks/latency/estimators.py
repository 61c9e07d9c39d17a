"""Which estimator of a latency repeats best in another process, from the same rounds of runs.

Live cells of NAS-Bench-201 are run in fresh processes, one cell after another, in rounds between
two bursts of the small reference network and two runs of a large one, whose 4 MB of weights leave
no second-level cache; every run is kept. Printed are, over all pairs of processes, Spearman's
correlation, the median and the 90th percentile of relative differences, of each estimator; and the
same of cells below and above a millisecond.

    python -m benchmarks.latency.estimators [--networks 50] [--processes 3] [--max-seconds 1]
        [--keep FOLDER]

--keep keeps the runs of each process, and an interrupted series goes on from there.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import nn

from benchmarks.latency.repeatability import IN_SHAPE, networks
from hwnas.measure.host import host_fingerprint
from hwnas.measure.measuring import meters_for, sampler
from hwnas.measure.reference import open_reference
from hwnas.measure.rounds import BURST_SECONDS, REFERENCE_SECONDS, runs_in, take_burst
from hwnas.measure.warm_up import SHARE, Sample, warm_up
from hwnas.networks.garbage import without_garbage_collection
from hwnas.runtimes.base import RunSettings, TorchNetwork
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import FloatArray

_LARGE_RUNS = 3
_SMALL_CELL_MS = 1.0


class Rounds(NamedTuple):
    """One cell's rounds, in ms: fastest and median run, and the fastest ones of the references.

    Attributes:
        fastest: `(r,)`.
        median: `(r,)`.
        small: `(r,)` mean of before and after.
        large: `(r,)` mean of before and after.
    """

    fastest: FloatArray
    median: FloatArray
    small: FloatArray
    large: FloatArray


ESTIMATORS: dict[str, Callable[[Rounds], float]] = {
    "median of all runs": lambda r: float(np.median(r.median)),
    "fastest of a round, median over rounds": lambda r: float(np.median(r.fastest)),
    "fastest of all": lambda r: float(r.fastest.min()),
    "ratio of medians, median": lambda r: float(np.median(r.median / r.small)),
    "ratio of fastest, median (hwnas)": lambda r: float(np.median(r.fastest / r.small)),
    "ratio of fastest, trimmed mean": lambda r: float(stats.trim_mean(r.fastest / r.small, 0.25)),
    "ratio of fastest, first quartile": lambda r: float(np.quantile(r.fastest / r.small, 0.25)),
    "ratio of fastest, tenth": lambda r: float(np.quantile(r.fastest / r.small, 0.1)),
    "ratio of fastest, least": lambda r: float((r.fastest / r.small).min()),
    "ratio to the large reference, median": lambda r: float(np.median(r.fastest / r.large)),
    "ratio to both (geometric mean), median": lambda r: float(
        np.median(r.fastest / np.sqrt(r.small * r.large))
    ),
}


def large_reference() -> TorchNetwork:
    """Build 28 convolutions of 64 channels on 8×8."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 4, 1)]
        for _ in range(28):
            layers += [nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return TorchNetwork(nn.Sequential(*layers).eval(), IN_SHAPE)


def rounds_of(sample: Sample, small: Sample, large: Sample, seconds: float) -> Rounds:
    """Run a cell until its time is up."""
    start = time.perf_counter()
    warm = warm_up(sample, 10, SHARE * seconds, time.perf_counter)
    runs = runs_in(BURST_SECONDS, warm.run_seconds)
    of_small = runs_in(REFERENCE_SECONDS, warm_up(small, 10, 0.05, time.perf_counter).run_seconds)

    def beside() -> tuple[float, float]:
        return (
            float(take_burst(small, of_small)[:, 0].min()),
            float(take_burst(large, _LARGE_RUNS)[:, 0].min()),
        )

    rows: list[tuple[float, ...]] = []
    before = beside()
    while not rows or time.perf_counter() - start < seconds:
        values = take_burst(sample, runs)[:, 0]
        after = beside()
        means = ((a + b) / 2 for a, b in zip(before, after, strict=True))
        rows.append((float(values.min()), float(np.median(values)), *means))
        before = after
    return Rounds(*np.array(rows).T)


def run_all(number: int, seconds: float, seed: int, path: Path) -> None:
    """Run all cells in this process, and write the rounds."""
    space, runtime, settings = NasBench201(), OnnxRuntime(), RunSettings()
    place = runtime.place(settings)
    found: dict[str, FloatArray] = {}
    with ExitStack() as stack:
        meters = meters_for("auto", "latency", place)
        reads = [stack.enter_context(meter.open(place)) for meter in meters]
        small = stack.enter_context(open_reference(runtime, settings, True))
        large = stack.enter_context(runtime.prepare(large_reference(), settings))
        stack.enter_context(without_garbage_collection())
        of_small, of_large = (sampler(other.run, reads, 0.0) for other in (small, large))
        for i, cell in enumerate(networks(number, seed)):
            network = TorchNetwork(space.build(cell), IN_SHAPE)
            with runtime.prepare(network, settings) as made:
                rounds = rounds_of(sampler(made.run, reads, 0.0), of_small, of_large, seconds)
            found[f"{i:04}"] = np.array(rounds)
    np.savez(path, allow_pickle=False, **found)


def read(path: Path) -> list[Rounds]:
    with np.load(path) as found:
        return [Rounds(*found[name]) for name in sorted(found.files)]


def line(name: str, values: FloatArray, chosen: FloatArray) -> None:
    """Print how well `(p, n)` values repeat, those of all networks and of two kinds."""
    pairs = list(itertools.combinations(values, 2))
    rho = [float(stats.spearmanr(a, b).statistic) for a, b in pairs]
    off = np.array([2 * np.abs(a - b) / (a + b) for a, b in pairs])
    parts = [f"{np.median(off[:, chosen == kind]):.1%}" for kind in (0, 1)]
    print(
        f"| {name} | {np.mean(rho):.4f} ({min(rho):.4f}) | {np.median(off):.1%} | "
        f"{np.percentile(off, 90):.0%} | {parts[0]} | {parts[1]} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--max-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder of the runs")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        run_all(arguments.networks, arguments.max_seconds, arguments.seed, arguments.child)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"process_{i}.npz" for i in range(arguments.processes)]
        loads = [os.getloadavg()[0]]
        for path in paths:
            if not path.is_file():
                command = [sys.executable, "-m", "benchmarks.latency.estimators", "--child", path]
                numbers = ("networks", "max_seconds", "seed")
                for name in numbers:
                    command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
                subprocess.run(command, check=True)
                loads.append(os.getloadavg()[0])
        runs = [read(path) for path in paths]
    rounds = [len(r.fastest) for run in runs for r in run]
    print(f"machine: {host_fingerprint()}; load {min(loads):.1f} to {max(loads):.1f}")
    print(
        f"{len(runs[0])} live cells, {len(runs)} processes, {arguments.max_seconds} s a network, "
        f"{np.median(rounds):.0f} rounds (median)"
    )
    of_cells = np.median([[np.median(r.fastest) for r in run] for run in runs], axis=0)
    above = (of_cells > _SMALL_CELL_MS).astype(np.float64)
    print(
        f"| estimator | Spearman, mean (least) | difference, median | p90 | "
        f"{(above == 0).sum()} cells below {_SMALL_CELL_MS:g} ms | {(above == 1).sum()} above |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, estimate in ESTIMATORS.items():
        line(name, np.array([[estimate(r) for r in run] for run in runs]), above)


if __name__ == "__main__":
    main()
