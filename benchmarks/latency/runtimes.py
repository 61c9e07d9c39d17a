"""How far runtimes and precisions agree on which network is faster.

Live cells of NAS-Bench-201 are measured with each cost, the costs interleaved network by network;
the first cost is measured twice, and its agreement with itself is the ceiling of any other. Batch
norms get random statistics, so that outputs and activations have usual sizes. Printed are the
Spearman correlation with the first cost and its 95 % bootstrap interval over networks, the median
ratio of latencies, how many networks are faster, and the errors of the outputs.

    python benchmarks/latency/runtimes.py [--networks 44] [--max-seconds 0.3] [COST ...]

A COST is written as in `hwnas search --cost`; by default those of `COSTS` are measured, which need
the extras openvino, litert, mnn and ncnn. What is measured is kept in --out, and an interrupted run
goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hwnas.costs.measured import RuntimeCost
from hwnas.costs.source import make_cost
from hwnas.errors import HwnasError
from hwnas.files.atomic import write_text
from hwnas.measure.host import host_fingerprint, package_versions
from hwnas.ranking.bootstrap import bootstrap_interval
from hwnas.ranking.metrics import spearman
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import reference_sample
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import FloatArray

COSTS = (
    "onnxruntime",
    "onnxruntime:precision=int8",
    "openvino",
    "openvino:precision=bf16",
    "openvino:precision=int8",
    "litert",
    "litert:precision=int8",
    "litert:precision=int8,float_operators=AveragePool",
    "mnn",
    "ncnn",
    "torch",
)
_AGAIN = "(again)"
PACKAGES = ("torch", "onnxruntime", "openvino", "MNN", "ncnn", "ai-edge-litert")


class WithStatistics(NasBench201):
    """NAS-Bench-201 whose batch norms have random statistics, as trained ones do."""

    def build(self, arch: Cell, task: Task | None = None) -> nn.Module:
        """Build the network and draw the statistics from the current random state."""
        network = super().build(arch, task)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                with torch.no_grad():
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 2)
        return network


@dataclass
class Store:
    """Measurements by network and cost, kept in a file."""

    path: Path | None
    rows: dict[str, dict[str, Any]]

    def put(self, key: str, row: dict[str, Any]) -> None:
        """Add a row, and write the file."""
        self.rows[key] = row
        if self.path is not None:
            write_text(self.path, json.dumps(self.rows))


def measured(
    costs: dict[str, RuntimeCost[Cell]], cells: list[Cell], store: Store, seed: int
) -> Iterator[int]:
    """Measure what is missing, in an order that is drawn for each network."""
    rng = np.random.default_rng(seed)
    for number, cell in enumerate(cells):
        names = [*costs]
        for name in rng.permutation(names):
            key = f"{cell} {name}"
            if key not in store.rows:
                store.put(key, _row(costs[name], cell))
        yield number


def _row(cost: RuntimeCost[Cell], cell: Cell) -> dict[str, Any]:
    try:
        return cost.measure(cell).as_dict()
    except HwnasError as error:
        return {"failed": str(error)}


def table(costs: list[str], cells: list[Cell], store: Store, seed: int) -> None:
    """Print a line for each cost, against the first one."""
    first = costs[0]
    reference = _values(first, cells, store)
    print("| cost | n | ρ [95 %] | × first | faster | error, median (largest) | least r |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in [f"{first} {_AGAIN}", *costs[1:]]:
        values = _values(name, cells, store)
        both = np.isfinite(values) & np.isfinite(reference)
        if both.sum() < 3:
            print(f"| `{name}` | {both.sum()} | – | – | – | – | – |")
            continue
        a, b = reference[both], values[both]
        rho = partial(_rho, a, b)
        low, high = bootstrap_interval(rho, len(a), 2_000, seed=seed)
        errors, least = _errors(name, cells, store)
        print(
            f"| `{name}` | {both.sum()} | {spearman(a, b):.3f} [{low:.3f}, {high:.3f}] | "
            f"{np.median(b / a):.2f} | {int((b < a).sum())} | {np.median(errors):.0e} "
            f"({max(errors):.0e}) | {least:.4f} |"
        )
    for name in [first, *costs[1:]]:
        for cell in cells:
            if reason := store.rows.get(f"{cell} {name}", {}).get("failed"):
                print(f"failed: {name}: {reason}")
                break


def _rho(a: FloatArray, b: FloatArray, drawn: npt.NDArray[np.intp]) -> float:
    return spearman(a[drawn], b[drawn])


def _values(name: str, cells: list[Cell], store: Store) -> FloatArray:
    found = [store.rows.get(f"{cell} {name}", {}).get("latency_ms") for cell in cells]
    return np.array([np.nan if v is None else v for v in found], dtype=np.float64)


def _errors(name: str, cells: list[Cell], store: Store) -> tuple[list[float], float]:
    rows = [store.rows.get(f"{cell} {name}", {}) for cell in cells]
    errors = [row["relative_error"] for row in rows if row.get("relative_error") is not None]
    return errors, min((r["correlation"] for r in rows if r.get("correlation")), default=np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("costs", nargs="*", default=COSTS, metavar="COST")
    parser.add_argument("--networks", type=int, default=44)
    parser.add_argument("--max-seconds", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file that keeps what is measured")
    arguments = parser.parse_args()
    space, task = WithStatistics(), get_task("cifar10")
    cells = reference_sample(space, arguments.networks, arguments.seed)
    costs = {}
    for text in arguments.costs:
        joined = f"{text}{',' if '=' in text else ':'}max_seconds={arguments.max_seconds}"
        made = make_cost(joined, space, task)
        assert isinstance(made, RuntimeCost)
        costs[text] = made
    first = arguments.costs[0]
    costs[f"{first} {_AGAIN}"] = costs[first]
    kept = arguments.out is not None and arguments.out.is_file()
    store = Store(arguments.out, json.loads(arguments.out.read_text()) if kept else {})
    print(f"machine: {host_fingerprint()}")
    print(f"versions: {package_versions(PACKAGES)}")
    print(f"{len(cells)} live cells, seed {arguments.seed}, one thread, batch 1")
    loads = [os.getloadavg()[0] for _ in measured(costs, cells, store, arguments.seed)]
    print(f"load average {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores meanwhile")
    table([*arguments.costs], cells, store, arguments.seed)


if __name__ == "__main__":
    main()
