"""How well a latency repeats in another process, and how long it takes to measure.

(a) Different live cells of NAS-Bench-201, measured in fresh processes one after another, eight in
turn beside the reference network, which is measured among them like a cell. Printed are Spearman's
correlation between processes and the median relative difference, of the corrected value and of what
it is made of: the raw median, and the fastest runs without the reference; and the same of the
reference, the noise floor. The nominal time is found by the first process.
(b) With --steps, CPU seconds of building, counting, exporting (directly and by
`torch.onnx.export`), opening a session and measuring.

    python benchmarks/latency/repeatability.py [--networks 50] [--processes 3] [--load] [--steps 10]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import stats

from hwnas.costs.counters import count
from hwnas.measure.beside_reference import measure_together
from hwnas.measure.host import host_fingerprint, package_versions
from hwnas.measure.measuring import measure
from hwnas.measure.reference import reference_network
from hwnas.measure.rounds import Length
from hwnas.onnx_export import export as onnx_export
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.runtimes.onnxruntime_session import open_session
from hwnas.spaces.nasbench201 import Cell, NasBench201

IN_SHAPE = (3, 32, 32)
TOGETHER = 8


def networks(number: int, seed: int) -> list[Cell]:
    """Draw live cells of different classes; class representatives."""
    space, rng = NasBench201(), np.random.default_rng(seed)
    found: dict[str, Cell] = {}
    while len(found) < number:
        cell = space.representative(space.sample(rng))
        if space.is_valid(cell):
            found.setdefault(space.canonical_key(cell), cell)
    return list(found.values())


class Stopwatch:
    """CPU seconds between calls, by the name of the step that ended."""

    def __init__(self) -> None:
        """Start now."""
        self.steps: dict[str, float] = {}
        self._start = time.process_time()

    def stop(self, step: str) -> None:
        """End a step and start the next one."""
        now = time.process_time()
        self.steps[step] = now - self._start
        self._start = time.process_time()


def time_steps(
    cells: list[Cell], by_torch: int, max_seconds: float
) -> tuple[dict[str, list[float]], float]:
    """Give CPU seconds of each step for each network, and the share that converged.

    The first network is worked on twice, and the first time is not counted.
    """
    steps: dict[str, list[float]] = {}
    converged: list[bool] = []
    for i, cell in enumerate([cells[0], *cells]):
        watch = Stopwatch()
        model = NasBench201().build(cell)
        watch.stop("build")
        count(model, IN_SHAPE)
        watch.stop("count")
        content = export_onnx(model, IN_SHAPE).SerializeToString()
        watch.stop("export, direct")
        if i <= by_torch:
            onnx_export._export_by_torch(model, IN_SHAPE, 1, False)
            watch.stop("export, torch.onnx")
        open_session(content)
        watch.stop("session")
        measurement = measure(OnnxModel(content), OnnxRuntime(), max_seconds=max_seconds)
        watch.stop("measurement")
        if i:
            converged.append(measurement.converged)
            for step, seconds in watch.steps.items():
                steps.setdefault(step, []).append(seconds)
    return steps, float(np.mean(converged))


def measure_all(cells: list[Cell], max_seconds: float, meter: str) -> list[dict[str, Any]]:
    """Measure in this process; the facts of each cell, then those of the reference as a network."""
    space, found, floor = NasBench201(), [], []
    for start in range(0, len(cells), TOGETHER):
        part = [TorchNetwork(space.build(c), IN_SHAPE) for c in cells[start : start + TOGETHER]]
        *values, reference = measure_together(
            [*part, reference_network()], OnnxRuntime(), RunSettings(), meter, Length(max_seconds)
        )
        found += [m.as_dict() for m in values]
        floor.append(reference.as_dict())
    return [*found, *floor]


def in_new_process(arguments: argparse.Namespace, cache: str) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--child", "--networks", str(arguments.networks)]
    command += ["--seed", str(arguments.seed), "--max-seconds", str(arguments.max_seconds)]
    command += ["--meter", arguments.meter]
    env = {**os.environ, "HWNAS_CACHE": cache}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@contextmanager
def loaded_core(wanted: bool) -> Iterator[None]:
    """Let another process work as hard as it can meanwhile."""
    if not wanted:
        yield
        return
    work = "import numpy as n\na = n.ones((400, 400))\nwhile True: a = a @ a / 400"
    with subprocess.Popen([sys.executable, "-c", work]) as other:
        try:
            yield
        finally:
            other.kill()


VALUES: dict[str, Callable[[dict[str, Any]], float]] = {
    "corrected": lambda m: m["latency_ms"],
    "fastest, uncorrected": lambda m: m["ratio_to_reference"] * m["reference_ms"],
    "raw median": lambda m: m["raw_ms"],
}


def print_repeatability(runs: list[list[dict[str, Any]]], cells: int) -> None:
    """Print correlations and differences between processes, of cells and of the reference."""
    for name, value in VALUES.items():
        times = np.array([[value(m) for m in run] for run in runs])  # (p, n)
        pairs = list(itertools.combinations(times, 2))
        rho = [float(stats.spearmanr(a[:cells], b[:cells]).statistic) for a, b in pairs]
        off = np.array([2 * np.abs(a - b) / (a + b) for a, b in pairs])
        of_cells, floor = off[:, :cells], off[:, cells:]
        print(
            f"  {name:>20}: Spearman {min(rho):.4f} to {max(rho):.4f}; relative difference median "
            f"{np.median(of_cells):.2%}, p90 {np.percentile(of_cells, 90):.2%}, largest "
            f"{of_cells.max():.1%}; of the reference median {np.median(floor):.2%}, largest "
            f"{floor.max():.1%}"
        )
    everything = [m for run in runs for m in run[:cells]]
    beside = np.array([m["reference_ms"] for m in everything])
    latencies = np.array([m["latency_ms"] for m in everything])
    above = np.median([m["raw_ms"] for m in everything] / latencies)
    took = np.array([m["seconds"] for m in everything])
    print(
        f"  reference {beside.min():.4f} to {beside.max():.4f} ms, nominal "
        f"{everything[0]['reference_nominal_ms']:.4f}; cells {latencies.min():.3f} to "
        f"{latencies.max():.3f} ms, raw medians {above:.3f} times the values (median)\n"
        f"  {np.median(took):.2f} s a network (largest {took.max():.2f}); "
        f"{np.mean([m['settled'] for m in everything]):.0%} settled, "
        f"{np.mean([m['converged'] for m in everything]):.0%} converged to 2 %"
    )


def print_steps(cells: list[Cell], by_torch: int, max_seconds: float) -> None:
    print(f"(b) CPU seconds a network, median (largest), at most {max_seconds} s measured")
    steps, converged = time_steps(cells, by_torch, max_seconds)
    for step, seconds in steps.items():
        print(f"  {step:>18}: {np.median(seconds):.3f} ({max(seconds):.3f}), n={len(seconds)}")
    print(f"  {100 * converged:.0f} % of the measurements converged to 2 % by the default clock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--load", action="store_true", help="another process loads a core")
    parser.add_argument("--meter", default="auto", help="cpu or wall")
    parser.add_argument("--steps", type=int, default=0, help="networks whose steps are timed")
    parser.add_argument(
        "--by-torch", type=int, default=2, help="exports by torch.onnx (seconds each)"
    )
    parser.add_argument("--max-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cells = networks(arguments.networks, arguments.seed)
    if arguments.child:
        print(json.dumps(measure_all(cells, arguments.max_seconds, arguments.meter)))
        return
    print(f"machine: {host_fingerprint()}; load {os.getloadavg()[0]:.1f}")
    print(f"versions: {package_versions(('torch', 'onnx', 'onnxruntime', 'numpy'))}")
    print(f"population: {len(cells)} live NAS-Bench-201 cells, seed {arguments.seed}")
    load = "another process loads a core" if arguments.load else "no load added"
    print(
        f"(a) {arguments.processes} processes, {arguments.max_seconds} s a network, meter "
        f"{arguments.meter}, {load}"
    )
    with loaded_core(arguments.load), tempfile.TemporaryDirectory() as cache:
        runs = [in_new_process(arguments, cache) for _ in range(arguments.processes)]
    print_repeatability(runs, len(cells))
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    if arguments.steps:
        print_steps(cells[: arguments.steps], arguments.by_torch, arguments.max_seconds)


if __name__ == "__main__":
    main()
