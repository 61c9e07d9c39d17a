"""How good the front is after some true evaluations: our samplers, stock samplers, baselines.

NAS-Bench-201 accuracies against HW-NAS-Bench costs, both looked up by the exact cell; metrics as
in `hwnas.pareto.metrics.front_quality`, over the population that is named. Each finished run is
appended to a CSV file at once, and a run that is there is not repeated. Needs HWNAS_DATA; proxy
scores are those that ship with hwnas, or a table of ``hwnas score --whole-space --out``::

    python -m benchmarks.search.fronts --method hardware-aware --seeds 20
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.search.methods import METHODS, distinct
from benchmarks.search.tasks import COSTS, DATASETS, Proxies, Task
from hwnas.data.own_images import IMAGES

BUDGETS = (50, 100, 200, 500, 1000)
KEYS = ("method", "dataset", "device", "metric", "cells", "seed")
VALUES = (
    "evaluations",
    "hypervolume",
    "tight_hypervolume",
    "igd",
    "recall",
    "distinct",
    "seconds_a_proposal",
)


def main() -> None:
    arguments = _arguments()
    proxies = Proxies.read(arguments.scores, arguments.images)
    for cells in arguments.cells:
        for dataset in arguments.dataset:
            for device, metric in COSTS:
                if f"{device}:{metric}" not in arguments.cost:
                    continue
                task = Task(dataset, device, metric, cells)
                for method in arguments.method:
                    for seed in range(arguments.seeds):
                        _run(task, method, seed, proxies, arguments)
    _print(_read(arguments.out))


def _arguments() -> argparse.Namespace:
    costs = [f"{device}:{metric}" for device, metric in COSTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, help="table of scores [default: shipped ones]")
    parser.add_argument("--images", choices=IMAGES, default="gaussian", help="of shipped scores")
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--cost", nargs="+", choices=costs, default=costs)
    parser.add_argument("--cells", nargs="+", choices=("live", "all"), default=["live"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, choices=BUDGETS, default=200)
    parser.add_argument("--out", type=Path, default=Path("fronts.csv"))
    return parser.parse_args()


def _run(
    task: Task, method: str, seed: int, proxies: Proxies, arguments: argparse.Namespace
) -> None:
    identity = [method, task.dataset, task.device, task.metric, task.cells, str(seed)]
    done = _read(arguments.out)
    if len(done):
        same = (done[list(KEYS)].astype(str) == identity).all(axis=1)
        if (done[same]["evaluations"] >= arguments.evaluations).any():
            return
    rows: list[int] = []
    seconds: list[float] = []
    lines: list[dict[str, Any]] = []
    for row, cost in METHODS[method](task, proxies, seed, arguments.evaluations):
        seconds.append(cost)
        rows += [] if row is None else [row]
        if len(seconds) in BUDGETS:
            quality = asdict(task.quality(rows))
            measured = {"distinct": distinct(rows), "seconds_a_proposal": np.median(seconds)}
            lines.append({"evaluations": len(seconds), **quality, **measured})
    new = not arguments.out.exists()
    with arguments.out.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, [*KEYS, *VALUES])
        if new:
            writer.writeheader()
        writer.writerows({**dict(zip(KEYS, identity, strict=True)), **line} for line in lines)
    print(
        *identity, *(f"{x['tight_hypervolume']:.3f}/{x['recall']:.2f}" for x in lines), flush=True
    )


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame()
    # A run that was repeated with more evaluations has its first ones twice.
    return pd.read_csv(path).drop_duplicates([*KEYS, "evaluations"])


def _print(results: pd.DataFrame) -> None:
    """Print means and standard deviations over the data sets and seeds as Markdown."""
    heads = [
        "tight hypervolume",
        "recall",
        "hypervolume",
        "IGD",
        "different cells",
        "ms a proposal",
    ]
    print(f"| cells | cost | method | N | runs | {' | '.join(heads)} |")
    print("| --- " * (5 + len(heads)) + "|")
    groups = results.groupby(["cells", "device", "metric", "method", "evaluations"], sort=False)
    for (cells, device, metric, method, n), part in groups:
        numbers = " | ".join(
            f"{part[name].mean():.3f} ± {part[name].std():.3f}"
            for name in ("tight_hypervolume", "recall", "hypervolume", "igd")
        )
        numbers += (
            f" | {part['distinct'].mean():.0f} | {1e3 * part['seconds_a_proposal'].mean():.1f}"
        )
        print(f"| {cells} | {device} {metric} | {method} | {n} | {len(part)} | {numbers} |")


if __name__ == "__main__":
    main()
